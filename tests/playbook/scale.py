"""The arithmetic of playbook/SCALE.md: what so many properties take, by formulas that are all here.

python -m tests.playbook.scale --rows-per-day 200
"""

from __future__ import annotations

import math

import attrs
import click

DAYS = 480
"""16 months."""
PROPERTIES = (1, 100, 5_000, 100_000)

ROWS_PER_PAGE = 25_000
MOST_ROWS_A_DAY = 50_000
USER_QUERIES_PER_MINUTE = 1_200
PROJECT_QUERIES_PER_MINUTE = 40_000
PROJECT_QUERIES_PER_DAY = 30_000_000
USERS = PROJECT_QUERIES_PER_MINUTE // USER_QUERIES_PER_MINUTE
"""Who can use their quota fully, side by side, in one project."""

JSON_BYTES = 230
POSTGRES_BYTES = 255
PARQUET_BYTES = 40
"""Of a row by page and query, each."""
POSTGRES_ROWS_PER_SECOND = 100_000

POSTGRES_DOLLARS = 0.15
PARQUET_DOLLARS = 0.02
"""For a gigabyte and month."""


@attrs.frozen
class Estimate:
    """What a number of properties of one kind takes, all days of one search type."""

    properties: int
    rows_per_day: int

    @property
    def queries_a_day(self) -> int:
        """To keep them up to date: pages of a day; a full one is followed by another."""
        pages = self.rows_per_day // ROWS_PER_PAGE + 1
        return self.properties * pages

    @property
    def queries(self) -> int:
        return self.queries_a_day * DAYS

    @property
    def queries_per_minute(self) -> int:
        """With as many users as there are properties, up to those who can use it fully."""
        return USER_QUERIES_PER_MINUTE * min(self.properties, USERS)

    @property
    def quota_minutes(self) -> float:
        """Each day brings 30,000,000 queries, as fast as a minute's quota lets them through."""
        full_days = math.ceil(self.queries / PROJECT_QUERIES_PER_DAY) - 1
        rest = self.queries - full_days * PROJECT_QUERIES_PER_DAY
        return full_days * 24 * 60 + rest / self.queries_per_minute

    @property
    def rows(self) -> int:
        return self.properties * DAYS * min(self.rows_per_day, MOST_ROWS_A_DAY)

    @property
    def writing_minutes(self) -> float:
        """Into one Postgres."""
        return self.rows / POSTGRES_ROWS_PER_SECOND / 60

    def cells(self) -> tuple[str, ...]:
        """A line of the table."""
        postgres, parquet = self.rows * POSTGRES_BYTES, self.rows * PARQUET_BYTES
        return (
            f"{self.properties:,}",
            f"{self.queries:,}",
            duration(self.quota_minutes),
            f"{self.queries_a_day:,}",
            amount(self.rows),
            size(self.rows * JSON_BYTES),
            size(postgres),
            duration(self.writing_minutes),
            money(postgres / 1e9 * POSTGRES_DOLLARS),
            size(parquet),
            money(parquet / 1e9 * PARQUET_DOLLARS),
        )


COLUMNS = (
    "properties",
    "queries",
    "quota allows it in",
    "queries a day afterwards",
    "rows",
    "JSON",
    "Postgres",
    "written there in",
    "$ a month",
    "Parquet",
    "$ a month",
)


def duration(minutes: float) -> str:
    for unit, length in (("d", 24 * 60), ("h", 60), ("min", 1)):
        if minutes >= 2 * length:
            return (
                f"{minutes / length:,.0f} {unit}"
                if unit == "min"
                else f"{minutes / length:,.1f} {unit}"
            )
    return f"{minutes * 60:.0f} s"


def amount(rows: int) -> str:
    return f"{rows / 1e6:,.1f} million" if rows < 1e9 else f"{rows / 1e9:,.1f} billion"


def size(count: float) -> str:
    for unit, length in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9)):
        if count >= length:
            return f"{count / length:,.1f} {unit}"
    return f"{count / 1e6:,.0f} MB"


def money(dollars: float) -> str:
    return f"{dollars:,.0f}" if dollars >= 1 else "< 1"


def table(rows_per_day: int) -> str:
    """A table in Markdown, with a line for each number of properties."""
    lines = [COLUMNS, ("---:",) * len(COLUMNS)]
    lines += [Estimate(count, rows_per_day).cells() for count in PROPERTIES]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def users_for_one_postgres(rows_per_day: int) -> float:
    """How many users at full quota bring as many rows as one Postgres takes in."""
    rows_per_query = min(rows_per_day, ROWS_PER_PAGE)
    return POSTGRES_ROWS_PER_SECOND / (USER_QUERIES_PER_MINUTE / 60 * rows_per_query)


@click.command("python -m tests.playbook.scale")
@click.option("--rows-per-day", default=2_000, show_default=True, help="Of each property.")
def main(rows_per_day: int) -> None:
    """Print what 1 to 100,000 properties take."""
    click.echo(table(rows_per_day))
    users = users_for_one_postgres(rows_per_day)
    click.echo(f"one Postgres takes in what {users:,.1f} users bring")


if __name__ == "__main__":
    main()
