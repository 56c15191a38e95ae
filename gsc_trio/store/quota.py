"""The table of what was sent lately; what it is for is told in `gsc_trio.quota_journal`.

Must never: begin or end a transaction; the store does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from gsc_trio.machine_clock import Moment
from gsc_trio.store.base import GrantKey, RecordedGrant
from gsc_trio.store.sql import SqlConnection

_COLUMNS = (
    'limiter, number, "user", site_url, queries, boot, sent_wall_seconds, '
    "sent_monotonic_seconds, answered_wall_seconds, answered_monotonic_seconds"
)
_AGAIN = ", ".join(f"{column} = excluded.{column}" for column in _COLUMNS.split(", ")[2:])


def read_grants(connection: SqlConnection) -> list[RecordedGrant]:
    """All grants, in the order of their keys."""
    select = f"SELECT {_COLUMNS} FROM quota_grant ORDER BY limiter, number"
    return [_grant(values) for values in connection.execute(select)]


def write_grants(
    connection: SqlConnection, grants: Iterable[RecordedGrant], forget: Collection[GrantKey]
) -> None:
    """Enter grants, or replace them, and delete those that are over."""
    connection.executemany(
        "DELETE FROM quota_grant WHERE limiter = ? AND number = ?",
        [(key.limiter, key.number) for key in forget],
    )
    connection.executemany(
        f"INSERT INTO quota_grant ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        f"ON CONFLICT (limiter, number) DO UPDATE SET {_AGAIN}",
        [_values(grant) for grant in grants],
    )


def _grant(values: tuple[Any, ...]) -> RecordedGrant:
    limiter, number, user, site_url, queries, boot, *instants = values
    sent_wall, sent_monotonic, answered_wall, answered_monotonic = instants
    is_answered = answered_wall is not None
    return RecordedGrant(
        key=GrantKey(limiter, number),
        user=user,
        site_url=site_url,
        queries=queries,
        sent=Moment(sent_wall, sent_monotonic, boot),
        answered=Moment(answered_wall, answered_monotonic, boot) if is_answered else None,
    )


def _values(grant: RecordedGrant) -> tuple[object, ...]:
    sent, answered = grant.sent, grant.answered
    return (
        grant.key.limiter,
        grant.key.number,
        grant.user,
        grant.site_url,
        grant.queries,
        sent.boot,
        sent.wall_seconds,
        sent.monotonic_seconds,
        answered.wall_seconds if answered else None,
        answered.monotonic_seconds if answered else None,
    )
