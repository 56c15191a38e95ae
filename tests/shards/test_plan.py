from __future__ import annotations

import pytest

from gsc_trio.config import Settings
from gsc_trio.errors import UsageError
from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.shards.plan import choose_shards, plan_shards, project_slice
from gsc_trio.sync.targets import SyncTarget


def target(site: str, account: str | None, search_type: str = "web") -> SyncTarget:
    query = SearchAnalyticsQuery(f"sc-domain:{site}", search_type=search_type)
    return SyncTarget(query, account=account)


def test_everything_that_one_account_asks_for_is_one_shard() -> None:
    shards = plan_shards(
        [
            target("a.example", "north"),
            target("b.example", "south"),
            target("a.example", "north", "image"),
            target("c.example", "north"),
        ],
        Settings(batch_size=7),
    )
    assert list(shards) == ["north", "south"]
    assert shards["north"].sites == ["sc-domain:a.example", "sc-domain:c.example"]
    assert len(shards["north"].targets) == 3
    assert shards["north"].settings.account == "north"
    assert shards["north"].settings.batch_size == 7


def test_who_names_no_account_is_the_settings_account_or_the_default_shard() -> None:
    targets = [target("a.example", None), target("b.example", "south")]
    assert list(plan_shards(targets, Settings(account="north"))) == ["north", "south"]
    assert list(plan_shards(targets, Settings(account="south"))) == ["south"]
    shards = plan_shards(targets, Settings())
    assert list(shards) == ["default", "south"]
    assert shards["default"].settings.account is None


@pytest.mark.parametrize("users", range(1, 34))
def test_up_to_33_users_the_project_limit_cannot_bind(users: int) -> None:
    assert users * 1_200 <= 40_000
    assert project_slice(40_000, users) >= 1_200


@pytest.mark.parametrize("users", [34, 35, 100, 333, 4_999, 39_999, 40_000])
def test_with_more_users_the_slices_are_never_more_than_the_project(users: int) -> None:
    assert project_slice(40_000, users) < 1_200
    assert users * project_slice(40_000, users) <= 40_000
    # Nor much less: what is lost by rounding down is less than one query a user.
    assert users * (project_slice(40_000, users) + 1) > 40_000


def test_every_shard_holds_its_slice_of_the_project() -> None:
    targets = [target(f"{number}.example", f"user-{number}") for number in range(50)]
    shards = plan_shards(targets, Settings())
    assert {shard.settings.project_queries_per_minute for shard in shards.values()} == {800}


def test_a_slice_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="40,001 accounts cannot share 40,000 queries a minute"):
        project_slice(40_000, 40_001)


def test_nothing_to_shard_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no shards: list properties"):
        plan_shards([], Settings())


def test_shards_are_chosen_by_name() -> None:
    shards = plan_shards([target("a.example", "north"), target("b.example", "south")], Settings())
    assert [shard.name for shard in choose_shards(shards, [])] == ["north", "south"]
    assert [shard.name for shard in choose_shards(shards, ["south", "south"])] == ["south"]
    with pytest.raises(UsageError, match="no shard is called 'west': there are north, south"):
        choose_shards(shards, ["west"])
