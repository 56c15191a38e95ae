from __future__ import annotations

import datetime as dt

import pytest

from gsc_trio.cli.date_range import choose_days
from gsc_trio.errors import UsageError

TODAY = dt.date(2025, 6, 15)
OLDEST = dt.date(2024, 2, 15)
NEWEST_FINAL = dt.date(2025, 6, 12)


def date(text: str | None) -> dt.date | None:
    return None if text is None else dt.date.fromisoformat(text)


@pytest.mark.parametrize(
    ("days", "start", "end", "expected"),
    [
        (None, None, None, (OLDEST, NEWEST_FINAL)),
        (1, None, None, (NEWEST_FINAL, NEWEST_FINAL)),
        (150, None, None, (dt.date(2025, 1, 14), NEWEST_FINAL)),
        (484, None, None, (OLDEST, NEWEST_FINAL)),
        (None, "2025-03-01", None, (dt.date(2025, 3, 1), NEWEST_FINAL)),
        (None, None, "2025-03-01", (OLDEST, dt.date(2025, 3, 1))),
        (None, "2025-06-14", "2025-06-15", (dt.date(2025, 6, 14), TODAY)),
    ],
)
def test_what_is_not_given_follows_from_the_rest(
    days: int | None, start: str | None, end: str | None, expected: tuple[dt.date, dt.date]
) -> None:
    assert choose_days(days, date(start), date(end), TODAY) == expected


@pytest.mark.parametrize(
    ("days", "start", "end", "message"),
    [
        (0, None, None, "--days is 0: use 1 to 484"),
        (-5, None, None, "--days is -5: use 1 to 484"),
        (485, None, None, "--days is 485: use 1 to 484"),
        (10**30, None, None, "use 1 to 484"),
        (5, "2025-03-01", None, "--days cannot be combined with --start or --end"),
        (5, None, "2025-03-01", "--days cannot be combined with --start or --end"),
        (None, "2025-03-02", "2025-03-01", "the start 2025-03-02 is after the end 2025-03-01"),
        (None, "2025-03-02", "2025-06-16", "the end 2025-06-16 is in the future"),
        (None, "2024-02-14", "2025-06-01", "older than the 16 months"),
        (None, None, "2024-02-14", "the start 2024-02-14 is older than the 16 months"),
        (None, "2025-06-14", None, "without --end the range ends on 2025-06-12"),
        (None, "2025-06-16", None, "the end 2025-06-16 is in the future"),
    ],
)
def test_days_that_cannot_have_data_are_refused(
    days: int | None, start: str | None, end: str | None, message: str
) -> None:
    with pytest.raises(UsageError) as raised:
        choose_days(days, date(start), date(end), TODAY)
    assert message in str(raised.value)
