"""Out of the database, into the tools people love: Parquet, CSV, DuckDB, Arrow.

All of it needs the extra ``export`` but for CSV. Only days that are complete go out, one at a time,
so memory holds one day whatever the size of the property. Reading never waits for a backfill that
writes to the same database, nor holds it up.

::

    table = read_arrow("gsc.db", SearchAnalyticsQuery("sc-domain:example.com"))
    table.to_pandas()
    polars.from_arrow(table)
"""

from gsc_trio.export.arrow import open_arrow_reader, read_arrow
from gsc_trio.export.csv_file import export_csv
from gsc_trio.export.duckdb_file import export_duckdb
from gsc_trio.export.parquet_folder import export_parquet
from gsc_trio.export.plan import ExportSummary, Selection
from gsc_trio.export.target import Existing

__all__ = [
    "Existing",
    "ExportSummary",
    "Selection",
    "export_csv",
    "export_duckdb",
    "export_parquet",
    "open_arrow_reader",
    "read_arrow",
]
