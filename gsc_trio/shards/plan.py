"""Which shards there are: every account of a settings file with the properties that it asks for.

The arithmetic of the project's limit: Google lets a user send 1,200 queries a minute and a project
40,000, so up to 33 users can do what they like. With n shards each holds an n-th of the project's
limit, whether or not the others work: the sum is never above the limit, nobody has to be asked, and
up to 33 shards an n-th is more than a user may send anyway.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from gsc_trio.config import Settings
from gsc_trio.credentials.choice import settings_of_account
from gsc_trio.errors import UsageError
from gsc_trio.sync.targets import SyncTarget

DEFAULT_SHARD = "default"
"""What a shard is called whose account nobody names."""


@attrs.frozen
class Shard:
    """What one user asks for."""

    name: str
    """The account's name."""
    settings: Settings
    """With the account, and with the shard's slice of the project's limit."""
    targets: Sequence[SyncTarget]

    @property
    def sites(self) -> Sequence[str]:
        """Its properties, each once."""
        return list(dict.fromkeys(target.query.site_url for target in self.targets))


def plan_shards(targets: Iterable[SyncTarget], settings: Settings) -> dict[str, Shard]:
    """The shards of a settings file, by name.

    Args:
        targets: what its ``[[sync]]`` tables list.
        settings: what it sets; the project's limit is divided.

    Raises:
        UsageError: nothing is listed, or the project's limit is less than a query for each.
    """
    by_account: dict[str | None, list[SyncTarget]] = {}
    for target in targets:
        by_account.setdefault(target.account or settings.account, []).append(target)
    if not by_account:
        raise UsageError(
            "no shards: list properties and their accounts in [[sync]] tables of a settings file "
            "(--config FILE)"
        )
    slice_of_project = project_slice(settings.project_queries_per_minute, len(by_account))
    return {
        name: Shard(
            name,
            attrs.evolve(
                settings_of_account(settings, account),
                project_queries_per_minute=slice_of_project,
            ),
            its_targets,
        )
        for account, its_targets in by_account.items()
        for name in [account or DEFAULT_SHARD]
    }


def project_slice(project_queries_per_minute: int, shards: int) -> int:
    """How many queries a minute each of so many shards may send.

    Raises:
        UsageError: not even one.
    """
    queries = project_queries_per_minute // shards
    if not queries:
        raise UsageError(
            f"{shards:,} accounts cannot share {project_queries_per_minute:,} queries a minute "
            "(project_queries_per_minute): take fewer accounts"
        )
    return queries


def choose_shards(shards: dict[str, Shard], names: Iterable[str]) -> Sequence[Shard]:
    """Shards by name; all of them if none is named.

    Raises:
        UsageError: there is no such shard.
    """
    chosen = list(dict.fromkeys(names)) or list(shards)
    for name in chosen:
        if name not in shards:
            raise UsageError(f"no shard is called {name!r}: there are {', '.join(shards)}")
    return [shards[name] for name in chosen]
