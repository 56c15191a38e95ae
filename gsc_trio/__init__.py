"""Copy a Google Search Console property's Search Analytics history into your own database.

In reading order: what to ask for, what to ask it with, the front door, what comes back, and what
can go wrong. The testing kit is in `gsc_trio.testing`.
"""

from gsc_trio.backfill import backfill, fetch_all
from gsc_trio.client import SearchConsole, open_search_console
from gsc_trio.concurrency import Concurrency
from gsc_trio.config import Settings
from gsc_trio.config_sources import load_settings
from gsc_trio.errors import (
    ApiError,
    FinalError,
    GscTrioError,
    StorageError,
    TransientError,
    UsageError,
)
from gsc_trio.filters import DimensionFilter
from gsc_trio.halt import HaltSwitch
from gsc_trio.many import backfill_many, open_clients
from gsc_trio.model import Day, Halt, Job, Page, Row, SearchAnalyticsQuery
from gsc_trio.rate_limiter import Limited, RateLimiter
from gsc_trio.store.base import Store
from gsc_trio.store.sqlite import open_sqlite_store
from gsc_trio.summary import RunSummary
from gsc_trio.telemetry.instrument import Instrument
from gsc_trio.wire.sites import Site

__all__ = [
    "ApiError",
    "Concurrency",
    "Day",
    "DimensionFilter",
    "FinalError",
    "GscTrioError",
    "Halt",
    "HaltSwitch",
    "Instrument",
    "Job",
    "Limited",
    "Page",
    "RateLimiter",
    "Row",
    "RunSummary",
    "SearchAnalyticsQuery",
    "SearchConsole",
    "Settings",
    "Site",
    "StorageError",
    "Store",
    "TransientError",
    "UsageError",
    "backfill",
    "backfill_many",
    "fetch_all",
    "load_settings",
    "open_clients",
    "open_search_console",
    "open_sqlite_store",
]
