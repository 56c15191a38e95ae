from __future__ import annotations

import datetime as dt

import pytest

from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.store.audit import AuditedDay, AuditedPage
from gsc_trio.verify.judge import DEFECTS, NO_DEFECTS, Totals, judge

DAY = dt.date(2026, 3, 1)


def page(
    start_row: int, row_count: int, found: int | None = None, state: str = "final"
) -> AuditedPage:
    return AuditedPage(start_row, 100, row_count, state, row_count if found is None else found)


def day(*pages: AuditedPage, rows: int | None = None, doubled: int = 0) -> AuditedDay:
    found = sum(each.rows_found for each in pages)
    return AuditedDay(DAY, pages, found if rows is None else rows, doubled, 80, 800)


BY_QUERY, BY_COUNTRY, BY_PAGE = (
    SearchAnalyticsQuery("sc-domain:example.com", dimensions=(name,))
    for name in ("query", "country", "page")
)
SAME, MORE, LESS = (Totals(clicks, 10 * clicks) for clicks in (80, 100, 70))


@pytest.mark.parametrize(
    ("audited", "query", "totals", "expected"),
    [
        (day(page(0, 40)), BY_QUERY, None, "consistent"),
        (day(page(0, 40)), BY_QUERY, SAME, "complete"),
        (day(page(0, 40)), BY_QUERY, MORE, "complete"),
        (day(page(0, 40)), BY_QUERY, LESS, "above totals"),
        (day(page(0, 40)), BY_COUNTRY, MORE, "below totals"),
        (day(page(0, 40)), BY_COUNTRY, LESS, "above totals"),
        (day(page(0, 40)), BY_PAGE, LESS, "above totals"),
        (day(page(0, 40)), BY_PAGE, MORE, "complete"),
        (day(page(0, 40), rows=41), BY_QUERY, SAME, "unknown rows"),
        (day(rows=3), BY_QUERY, SAME, "unknown rows"),
        (day(page(0, 40), doubled=1), BY_QUERY, SAME, "doubled rows"),
        (day(page(0, 40, found=39)), BY_QUERY, SAME, "lost rows"),
        # A page may have lost as many rows as the ones after it have brought, and no more.
        (day(page(0, 100, found=98), page(100, 2)), BY_QUERY, SAME, "complete"),
        (day(page(0, 100, found=97), page(100, 2)), BY_QUERY, SAME, "lost rows"),
        (day(page(0, 100), page(100, 0)), BY_QUERY, SAME, "complete"),
        (day(page(0, 100)), BY_QUERY, SAME, "incomplete"),
        (day(page(100, 4)), BY_QUERY, SAME, "incomplete"),
        (day(page(0, 40, state="all")), BY_COUNTRY, MORE, "not final"),
        (day(page(0, 40, found=39, state="all")), BY_COUNTRY, MORE, "lost rows"),
    ],
)
def test_verdicts(
    audited: AuditedDay, query: SearchAnalyticsQuery, totals: Totals | None, expected: str
) -> None:
    verdict = judge(audited, query, totals)
    assert verdict.verdict == expected
    assert verdict.is_defect == (expected in DEFECTS)
    assert expected in {**DEFECTS, **NO_DEFECTS}


def test_how_much_is_anonymised_is_told_of_rows_with_a_query() -> None:
    verdict = judge(day(page(0, 40)), BY_QUERY, MORE)
    assert verdict.anonymised_clicks_share == pytest.approx(0.2)
    assert verdict.anonymised_impressions_share == pytest.approx(0.2)
    assert verdict.clicks_beyond_cap is None
    assert judge(day(page(0, 40)), BY_PAGE, MORE).anonymised_clicks_share is None


def test_a_capped_day_tells_how_much_is_beyond() -> None:
    audited = day(AuditedPage(0, 60_000, 50_000, "final", 50_000))
    verdict = judge(audited, BY_QUERY, MORE)
    assert (verdict.verdict, verdict.clicks_beyond_cap) == ("capped", 20)
    assert verdict.impressions_beyond_cap == 200
    assert verdict.anonymised_clicks_share is None


def test_shifted_rows_are_counted_and_count_twice_in_the_ledger() -> None:
    verdict = judge(day(page(0, 100, found=97), page(100, 5)), BY_QUERY, MORE)
    assert (verdict.rows, verdict.rows_in_ledger, verdict.rows_shifted) == (102, 105, 3)
    assert not verdict.is_defect
