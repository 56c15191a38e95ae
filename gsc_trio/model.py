"""The nouns that every layer shares: what is asked for, the job, the row, the page, the day.

Everything here is immutable and knows nothing of networks, databases or trio, so that it can
cross any boundary. What Google would refuse is refused here, before a request is spent on it.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

import attrs
import msgspec

from gsc_trio.errors import UsageError
from gsc_trio.filters import DimensionFilter, normalise_filters

MAX_ROW_LIMIT = 25_000
"""The most rows one searchanalytics.query call returns (Source: API reference, ``rowLimit``)."""

SEARCH_TYPES = ("web", "image", "video", "news", "discover", "googleNews")
"""The values of ``type`` (Source: API reference, searchanalytics.query)."""

DATA_STATES = ("final", "all", "hourly_all")
"""The values of ``dataState``. ``hourly_all`` comes by hour, the other two by day."""

DIMENSIONS = ("hour", "page", "query", "country", "device", "searchAppearance")
"""The dimensions a row can be grouped by beside its date, in the order in which we ask for them.

``date`` is always given by the job, so it is never asked for; ``hour`` needs ``hourly_all``.
"""

AGGREGATION_TYPES = ("auto", "byPage", "byProperty", "byNewsShowcasePanel")
"""The values of ``aggregationType`` (Source: API reference, searchanalytics.query)."""

SEARCH_TYPES_WITHOUT_POSITION = ("discover", "googleNews")
"""Google gives no position and refuses the query dimension for these."""

NEWS_SHOWCASE = DimensionFilter("searchAppearance", "equals", "NEWS_SHOWCASE")
"""What the News Showcase panels are found by (Source: API reference, ``aggregationType``)."""

_DOMAIN_PROPERTY = re.compile(r"sc-domain:[^\s/:?#@]+")


def _normalise_dimensions(names: Iterable[str]) -> tuple[str, ...]:
    names = tuple(names)
    allowed = f"use any of {', '.join(('date', *DIMENSIONS))}"
    for name in names:
        if name not in DIMENSIONS and name != "date":
            raise UsageError(f"unknown dimension {name!r}: {allowed}")
        if names.count(name) > 1:
            raise UsageError(f"dimension {name!r} is named more than once")
    return tuple(name for name in DIMENSIONS if name in names)


@attrs.frozen
class SearchAnalyticsQuery:
    """What is asked of Search Analytics, for every day alike.

    The order of ``dimensions`` is normalised, so ``("query", "page")`` and ``("page", "query")``
    are the same query and land in the same table. ``date`` is accepted and left out: every job
    asks for one date.

    Args:
        site_url: the property: ``https://host/`` (URL-prefix) or ``sc-domain:host`` (domain).
        search_type: one of `SEARCH_TYPES`.
        dimensions: any of `DIMENSIONS`, each once; ``searchAppearance`` only alone.
        data_state: ``final``, ``all`` to include days that are not final yet, or ``hourly_all``
            for the ``hour`` dimension, which needs it.
        row_limit: rows a page, 1 to 25,000. A page with fewer rows is the day's last.
        filters: which rows count: all of them must hold. Their order is normalised.
        aggregation_type: one of `AGGREGATION_TYPES`; ``auto`` lets Google choose.

    Raises:
        UsageError: Google would refuse it; the message says what is allowed.
    """

    site_url: str
    search_type: str = "web"
    dimensions: tuple[str, ...] = attrs.field(
        default=("page", "query"), converter=_normalise_dimensions
    )
    data_state: str = "final"
    row_limit: int = MAX_ROW_LIMIT
    filters: tuple[DimensionFilter, ...] = attrs.field(default=(), converter=normalise_filters)
    aggregation_type: str = "auto"

    def __attrs_post_init__(self) -> None:
        check_site_url(self.site_url)
        if self.search_type not in SEARCH_TYPES:
            raise UsageError(
                f"unknown search type {self.search_type!r}: use one of {', '.join(SEARCH_TYPES)}"
            )
        if self.data_state not in DATA_STATES:
            raise UsageError(
                f"unknown data state {self.data_state!r}: use one of {', '.join(DATA_STATES)}"
            )
        if not 1 <= self.row_limit <= MAX_ROW_LIMIT:
            raise UsageError(f"row_limit is {self.row_limit}: use 1 to {MAX_ROW_LIMIT}")
        if "searchAppearance" in self.dimensions and len(self.dimensions) > 1:
            raise UsageError(
                "searchAppearance cannot be combined with other dimensions: ask for it alone, then "
                "for the others with a filter on one value, as searchAppearance:equals:VIDEO"
            )
        self._check_hours()
        self._check_search_type()
        self._check_aggregation()

    @property
    def is_hourly(self) -> bool:
        """Whether rows come by the hour, of which Google keeps a few days only."""
        return "hour" in self.dimensions

    @property
    def is_whole(self) -> bool:
        """Whether it asks for all of the property, counted as Google does by itself."""
        return not self.filters and self.aggregation_type == "auto"

    def _touched(self) -> set[str]:
        """Dimensions that rows are grouped or filtered by."""
        return {*self.dimensions, *(each.dimension for each in self.filters)}

    def _check_hours(self) -> None:
        if self.is_hourly and self.data_state != "hourly_all":
            raise UsageError(
                f"the hour dimension needs data state hourly_all, not {self.data_state}: add "
                "--data-state hourly_all"
            )
        if self.data_state == "hourly_all" and not self.is_hourly:
            raise UsageError(
                "data state hourly_all needs the hour dimension: add it, for example "
                "--dimensions hour,page"
            )

    def _check_search_type(self) -> None:
        touched = self._touched()
        if self.search_type in SEARCH_TYPES_WITHOUT_POSITION and "query" in touched:
            raise UsageError(
                f"search type {self.search_type} has no query dimension: leave query out, "
                "for example --dimensions page"
            )
        if self.search_type == "discover" and "device" in touched:
            raise UsageError("search type discover has no device dimension: leave device out")

    def _check_aggregation(self) -> None:
        if self.aggregation_type not in AGGREGATION_TYPES:
            raise UsageError(
                f"unknown aggregation type {self.aggregation_type!r}: use one of "
                f"{', '.join(AGGREGATION_TYPES)}"
            )
        if self.aggregation_type == "byProperty":
            if self.search_type in SEARCH_TYPES_WITHOUT_POSITION:
                raise UsageError(
                    f"search type {self.search_type} cannot be aggregated byProperty: use byPage "
                    "or auto"
                )
            if "page" in self._touched():
                raise UsageError(
                    "byProperty cannot be combined with the page dimension or a filter on it: use "
                    "byPage or auto"
                )
        if self.aggregation_type == "byNewsShowcasePanel":
            self._check_news_showcase()

    def _check_news_showcase(self) -> None:
        appearances = {each for each in self.filters if each.dimension == "searchAppearance"}
        if (
            self.search_type not in SEARCH_TYPES_WITHOUT_POSITION
            or appearances != {NEWS_SHOWCASE}
            or "page" in self._touched()
        ):
            raise UsageError(
                f"byNewsShowcasePanel needs the filter {NEWS_SHOWCASE} as the only one on "
                "searchAppearance, search type discover or googleNews, and no page dimension or "
                "filter on it"
            )


def check_site_url(site_url: str) -> None:
    """Refuse what is no property's name.

    Raises:
        UsageError: the message says both ways to write one.
    """
    if site_url.isprintable() and " " not in site_url:
        try:
            parts = urlsplit(site_url)
        except ValueError:  # for example an unclosed bracket of an IPv6 address
            parts = urlsplit("")
        if parts.scheme in {"http", "https"} and parts.hostname and parts.path.endswith("/"):
            return
        if _DOMAIN_PROPERTY.fullmatch(site_url):
            return
    raise UsageError(
        f"{site_url!r} is no Search Console property: write https://host/ (with the slash at the "
        "end) for a URL-prefix property or sc-domain:host for a domain property"
    )


@attrs.frozen(order=True)
class Job:
    """One searchanalytics.query call: the unit of dedup, retry, ledger and recovery."""

    data_date: dt.date
    """The day, in Pacific time."""
    start_row: int = 0
    """How many rows of the day come before this page."""

    def __str__(self) -> str:
        return f"{self.data_date} from row {self.start_row:,}"


class Row(msgspec.Struct, gc=False, frozen=True):
    """One row as Google sent it; ``ctr`` is left out, since it is clicks / impressions."""

    keys: tuple[str, ...] = ()
    """The values of the dimensions, in the order of `SearchAnalyticsQuery.dimensions`."""
    clicks: float = 0.0
    """Google writes integers as 1 or as 1.0."""
    impressions: float = 0.0
    position: float | None = None
    """The average position, counted from 1; None where Google gives none."""


@attrs.frozen
class Page:
    """The answer to a job."""

    job: Job
    rows: list[Row] = attrs.field(repr=False)
    """At most ``row_limit`` rows."""
    row_limit: int
    """How many rows were asked for."""
    content_bytes: int
    """How long the answer's JSON was, in bytes: what the page weighs while it waits."""
    prepared: object = attrs.field(default=None, eq=False, repr=False)
    """What the store has made of the rows before the page's turn; nobody else's business."""

    @property
    def is_full(self) -> bool:
        """Whether the day may go on: as many rows as were asked for came back."""
        return len(self.rows) >= self.row_limit

    @property
    def follow_up(self) -> Job:
        """The job that asks for the rows after this page."""
        return Job(self.job.data_date, self.job.start_row + len(self.rows))


@attrs.frozen
class Day:
    """A day whose last page has been handed over, as `on_complete` gets it."""

    data_date: dt.date
    rows: int
    """How many rows Google gave for the day, over all its pages."""


@attrs.frozen
class Halt:
    """Why a run stops before its plan is done. `on_complete` may return one."""

    reason: str
    """One sentence for the person who reads the summary."""
    status: str = "halted"
    """How the run is reported: ``halted``, ``failed`` or ``interrupted``."""
    error: BaseException | None = attrs.field(default=None, eq=False)
    """What went wrong, where an error is the cause."""


@attrs.frozen
class FetchAgain:
    """Days to begin again from their first row: rows moved from page to page meanwhile."""

    days: tuple[dt.date, ...]


@attrs.frozen
class InFlightChanges:
    """What became of the in-flight registry since it was last written down.

    A job may have gone back and been taken again, so ``returned`` applies before ``taken``.
    """

    returned: tuple[Job, ...] = ()
    """Jobs that went back to the queue."""
    taken: tuple[tuple[Job, str], ...] = ()
    """Jobs that a worker took, each with the worker's name."""

    def __bool__(self) -> bool:
        return bool(self.taken or self.returned)
