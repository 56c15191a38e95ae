"""What a day's counts mean: a verdict, whether it is a defect, and how much is not in the rows.

Responsible for: telling what Google never gave (anonymised queries, rows beyond its cap) from what
was lost or doubled on the way. Must never: ask Google or read a database.

What may differ without anything being wrong:

- Rows with a query leave out the queries that Google anonymises; the totals have their clicks.
- Google exposes at most 50,000 rows a day; the totals have the rest, too.
- Pages of a day are no snapshot: a row can move from one to the next while they are fetched. It
  counts twice in the ledger and is once in the table, and others may have been missed.
- A result on which two pages of a property stand side by side counts once in the property's
  totals, and once for each page in rows by page: those are held against totals by page.
- Rows by search appearance have only results with one, and those with two twice. What a filter
  leaves of a page or a query is not what it leaves of the property.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import attrs

from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.store.audit import AuditedDay

MAX_EXPOSED_ROWS = 50_000
"""Rows that Google gives for a day and search type (Source: Search Analytics API limits)."""

DEFECTS = {
    "unknown rows": "there are rows that no page of the ledger brought",
    "doubled rows": "rows are there twice",
    "lost rows": "rows are missing that a page of the ledger brought",
    "above totals": "the rows have more clicks or impressions than Google's totals",
    "below totals": "the rows have less than Google's totals, and nothing explains it",
}
"""Verdicts that say that something is wrong; the worst comes first."""

NO_DEFECTS = {
    "incomplete": "the last page is still to come; `gsc-trio sync` fetches it",
    "not final": "fetched before it was final, or while rows moved; `gsc-trio sync` replaces it",
    "capped": f"Google gave the {MAX_EXPOSED_ROWS:,} rows that it gives at most",
    "complete": "all rows that Google gives, as far as its totals show",
    "consistent": "ledger and rows agree; there are no totals to compare with",
}
"""The other verdicts."""


@attrs.frozen
class Totals:
    """What a property had in a day, counted by Google without dimensions."""

    clicks: int
    impressions: int


@attrs.frozen
class DayVerdict:
    """A day of a dataset, judged."""

    data_date: dt.date
    verdict: str
    """One of `DEFECTS` or `NO_DEFECTS`."""
    rows: int
    rows_in_ledger: int
    """A row that Google gave on two pages counts twice."""
    rows_shifted: int
    """Rows that moved to a later page while the day was fetched."""
    clicks: int
    impressions: int
    total_clicks: int | None = None
    total_impressions: int | None = None
    anonymised_clicks_share: float | None = None
    """Of the totals, what rows with a query leave out; None where that cannot be told."""
    anonymised_impressions_share: float | None = None
    clicks_beyond_cap: int | None = None
    """Of a capped day: what is in the totals and not in its rows, anonymised queries included."""
    impressions_beyond_cap: int | None = None

    @property
    def is_defect(self) -> bool:
        """Whether something is wrong."""
        return self.verdict in DEFECTS


def judge(day: AuditedDay, query: SearchAnalyticsQuery, totals: Totals | None) -> DayVerdict:
    """Judge a day.

    Args:
        day: its counts.
        query: what was asked for.
        totals: Google's, or None if they are not known.
    """
    if not (is_comparable(query) and day.is_final and day.is_complete):
        totals = None
    is_capped = day.rows_in_ledger >= MAX_EXPOSED_ROWS
    verdict = next(_verdicts(day, query, totals, is_capped=is_capped))
    result = DayVerdict(
        data_date=day.data_date,
        verdict=verdict,
        rows=day.rows,
        rows_in_ledger=day.rows_in_ledger,
        rows_shifted=0 if _lost(day) else _missing(day),
        clicks=day.clicks,
        impressions=day.impressions,
    )
    if totals is None:
        return result
    result = attrs.evolve(result, total_clicks=totals.clicks, total_impressions=totals.impressions)
    clicks, impressions = totals.clicks - day.clicks, totals.impressions - day.impressions
    if is_capped:
        return attrs.evolve(
            result, clicks_beyond_cap=max(0, clicks), impressions_beyond_cap=max(0, impressions)
        )
    if "query" in query.dimensions:
        return attrs.evolve(
            result,
            anonymised_clicks_share=_share(clicks, totals.clicks),
            anonymised_impressions_share=_share(impressions, totals.impressions),
        )
    return result


def totals_query(query: SearchAnalyticsQuery) -> SearchAnalyticsQuery:
    """What asks for the totals that a query's rows are held against."""
    counts_by_page = "page" in query.dimensions and query.aggregation_type == "auto"
    return attrs.evolve(
        query,
        dimensions=(),
        data_state="final",
        aggregation_type="byPage" if counts_by_page else query.aggregation_type,
    )


def is_comparable(query: SearchAnalyticsQuery) -> bool:
    """Whether a query's rows add up to something that the property's totals say."""
    return "searchAppearance" not in query.dimensions and not query.filters


def _verdicts(
    day: AuditedDay, query: SearchAnalyticsQuery, totals: Totals | None, *, is_capped: bool
) -> Iterator[str]:
    """What can be said of a day; what matters most comes first."""
    if day.rows > sum(page.rows_found for page in day.pages):
        yield "unknown rows"
    if day.rows_doubled:
        yield "doubled rows"
    if _lost(day):
        yield "lost rows"
    if not day.is_complete:
        yield "incomplete"
    if totals is not None:
        if day.clicks > totals.clicks or day.impressions > totals.impressions:
            yield "above totals"
        is_less = day.clicks < totals.clicks or day.impressions < totals.impressions
        # Google does not promise to give every page.
        if is_less and not {"page", "query"} & set(query.dimensions) and not is_capped:
            yield "below totals"
    if not day.is_final:
        yield "not final"
    if is_capped:
        yield "capped"
    yield "consistent" if totals is None else "complete"


def _missing(day: AuditedDay) -> int:
    """Rows that pages brought and that are no longer in their place."""
    return sum(page.row_count - page.rows_found for page in day.pages)


def _lost(day: AuditedDay) -> bool:
    """Whether a page lacks more rows than later ones can have taken from it by repeating them."""
    rows_later = 0
    for page in reversed(day.pages):
        if page.row_count - page.rows_found > rows_later:
            return True
        rows_later += page.row_count
    return False


def _share(part: int, whole: int) -> float:
    return round(max(0, part) / whole, 6) if whole else 0.0
