"""What a shard sees of the journal that all of them share."""

from __future__ import annotations

import attrs
import pytest

from gsc_trio.errors import FencedError, StorageError
from gsc_trio.machine_clock import Moment, machine_moment
from gsc_trio.model import InFlightChanges, SearchAnalyticsQuery
from gsc_trio.shards.store import CLOCKS_AGREE_SECONDS, ShardStore, as_dated_here
from gsc_trio.store.base import GrantKey, RecordedGrant
from gsc_trio.store.postgres.leases import take_lease
from gsc_trio.store.postgres.store import open_postgres_store

NOW = Moment(wall_seconds=1e9, monotonic_seconds=5_000.0, boot="here")
ELSEWHERE = attrs.evolve(NOW, boot="elsewhere")


def grant(user: str = "me", site: str = "sc-domain:a.example", **times: Moment) -> RecordedGrant:
    return RecordedGrant(GrantKey("limiter", 1), user, site, 7, **{"sent": NOW, **times})


@pytest.mark.parametrize(
    ("answered", "is_believed"),
    [
        (NOW.plus(-30), True),  # of this machine: to the millisecond
        (NOW.plus(-3_000), True),
        (ELSEWHERE.plus(-30), False),  # of another, whose clock may be wrong
        (ELSEWHERE.plus(30), False),
        (ELSEWHERE.plus(1 - CLOCKS_AGREE_SECONDS), False),
        (ELSEWHERE.plus(-1 - CLOCKS_AGREE_SECONDS), True),  # but not that wrong
    ],
)
def test_another_machines_times_are_believed_only_when_they_are_long_past(
    answered: Moment, is_believed: bool
) -> None:
    recorded = grant(sent=answered.plus(-1), answered=answered)
    [seen] = as_dated_here([recorded], NOW)
    assert seen == (recorded if is_believed else attrs.evolve(recorded, answered=None))


def test_where_machines_cannot_be_told_apart_no_time_is_believed() -> None:
    nameless = attrs.evolve(NOW, boot="")
    [seen] = as_dated_here([grant(sent=nameless, answered=nameless.plus(-9))], nameless)
    assert seen.answered is None


async def test_a_shard_counts_what_its_user_sent_and_what_was_sent_about_its_sites(
    postgres_address: str,
) -> None:
    async with open_postgres_store(postgres_address) as database:
        grants = [
            attrs.evolve(grant(user, site), key=GrantKey("limiter", number), sent=machine_moment())
            for number, (user, site) in enumerate(
                [("me", "sc-domain:a.example"), ("me", "sc-domain:gone.example"),
                 ("you", "sc-domain:a.example"), ("you", "sc-domain:b.example")]
            )
        ]  # fmt: skip
        await database.record_grants(grants, forget=[])
        shard = ShardStore(database, "me", {"sc-domain:a.example"})
        assert await shard.recent_grants() == grants[:3]
        assert await database.recent_grants() == grants


async def test_a_shard_that_was_taken_over_writes_nothing_more(postgres_address: str) -> None:
    fence = await take_lease(postgres_address, "north", "first")
    async with open_postgres_store(postgres_address, fence=fence) as database:
        shard = ShardStore(database, "me", {"sc-domain:a.example"})
        await shard.record_grants([grant()], forget=[])
        assert not shard.is_taken_over
        assert await take_lease(postgres_address, "north", "second") != fence
        later = attrs.evolve(grant(), key=GrantKey("limiter", 2))
        with pytest.raises(FencedError, match="taken over by second"):
            await shard.record_grants([later], forget=[])
        with pytest.raises(FencedError):
            await shard.record_in_flight(
                SearchAnalyticsQuery("sc-domain:a.example"), InFlightChanges()
            )
        assert shard.is_taken_over
        assert isinstance(shard.error, StorageError)
        assert await shard.recent_grants() == [grant()]
