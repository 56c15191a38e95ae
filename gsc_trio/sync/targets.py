"""What is to be kept up to date: the ``[[sync]]`` tables of a settings file.

::

    [[sync]]
    sites = ["sc-domain:example.com", "https://shop.example/"]
    search_types = ["web", "image"]
    dimensions = ["page,query", "date"]

    [[sync]]
    sites = ["sc-domain:example.com"]
    search_types = ["discover"]
    dimensions = ["page"]
    data_state = "all"
    days = 90
    account = "agency"

Every site, search type and set of dimensions of a table is a target.
"""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from gsc_trio.config_sources import SYNC_TABLES as SYNC
from gsc_trio.config_sources import suggestion
from gsc_trio.errors import UsageError
from gsc_trio.filters import DimensionFilter, parse_filter
from gsc_trio.model import DATA_STATES, SearchAnalyticsQuery
from gsc_trio.toml_lines import place_in

_LISTS = {"sites": None, "search_types": ["web"], "dimensions": ["page,query"]}
_KEYS = (*_LISTS, "filters", "data_state", "start", "days", "account")


@attrs.frozen
class SyncTarget:
    """One query whose days are to be there."""

    query: SearchAnalyticsQuery
    """Its data state says whether days that are not final yet are wanted, too."""
    start: dt.date | None = None
    """The first day; None for the first that is stored, or all that Search Console keeps."""
    days: int | None = None
    """Instead of that, how many days up to the last final one."""
    account: str | None = None
    """Who asks for it; None for whoever the settings and this machine's sign-ins say."""


def read_targets(path: Path) -> list[SyncTarget]:
    """The targets of a settings file, in its order; none if it has no such table.

    Raises:
        UsageError: unreadable, not TOML, an unknown key, a value of the wrong type, or something
            that Google would refuse. The message names the file, the line and the key.
    """
    try:
        text = path.read_text("utf-8")
        loaded = tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"cannot read the settings file {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the settings file {path} is not valid TOML: {error}") from None
    tables = loaded.get(SYNC, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        place = place_in(path, text, SYNC)
        raise UsageError(f"{place}: {SYNC} must be tables: write [[{SYNC}]]")
    targets: dict[SearchAnalyticsQuery, SyncTarget] = {}
    accounts: dict[str, str | None] = {}
    for index, content in enumerate(tables):
        table = _Table(path, text, index, content)
        for target in table.targets():
            query = target.query
            if query in targets:
                raise UsageError(
                    f"{table.place('sites')}: {query.site_url}, "
                    f"{query.search_type} by {','.join(query.dimensions) or 'date'}, is there twice"
                )
            # A site's quota is one user's concern: each of two would think that it is all theirs.
            if accounts.setdefault(query.site_url, target.account) != target.account:
                names = [each or "nobody" for each in (accounts[query.site_url], target.account)]
                raise UsageError(
                    f"{table.place('account')}: {query.site_url} is given to {names[0]} and to "
                    f"{names[1]}: let one account ask for all of it"
                )
            targets[query] = target
    return list(targets.values())


@attrs.frozen
class _Table:
    path: Path
    text: str
    index: int
    content: dict[str, Any]

    def place(self, key: str) -> str:
        """Where a key is, or where the table begins if it is not there."""
        key = key if key in self.content else SYNC
        return place_in(self.path, self.text, key, table=SYNC, index=self.index)

    def targets(self) -> Iterator[SyncTarget]:
        for key in self.content:
            if key not in _KEYS:
                raise UsageError(
                    f"{self.place(key)}: [[{SYNC}]] has an unknown key {key!r}: "
                    f"{suggestion(key, _KEYS)}"
                )
        lists = {key: self._texts(key, default) for key, default in _LISTS.items()}
        data_state = self.content.get("data_state", "final")
        if data_state not in DATA_STATES:
            self._refuse("data_state", f"use one of {', '.join(DATA_STATES)}")
        filters = self._filters()
        start, days, account = self._start(), self._days(), self._account()
        for site in lists["sites"]:
            for search_type in lists["search_types"]:
                for dimensions in lists["dimensions"]:
                    query = self._query(site, search_type, dimensions, data_state, filters)
                    yield SyncTarget(query, start, days, account)

    def _texts(self, key: str, default: list[str] | None) -> list[str]:
        texts = self.content.get(key, default)
        if texts is None:
            raise UsageError(f"{self.place(key)}: [[{SYNC}]] has no {key}: list at least one")
        is_list = isinstance(texts, list) and all(isinstance(text, str) for text in texts)
        if not is_list or not texts:
            self._refuse(key, 'use a list of texts, as ["..."]')
        chosen: list[str] = texts
        return chosen

    def _filters(self) -> tuple[DimensionFilter, ...]:
        if "filters" not in self.content:
            return ()
        texts = self._texts("filters", None)
        try:
            return tuple(map(parse_filter, texts))
        except UsageError as error:
            raise UsageError(f"{self.place('filters')}: filters: {error}") from None

    def _start(self) -> dt.date | None:
        start = self.content.get("start")
        if start is None:
            return None
        if "days" in self.content:
            raise UsageError(f"{self.place('start')}: start and days cannot be combined: give one")
        if type(start) is not dt.date:
            self._refuse("start", "use a date without quotes, as 2026-01-31")
        chosen: dt.date = start
        return chosen

    def _days(self) -> int | None:
        days = self.content.get("days")
        if days is not None and (type(days) is not int or days < 1):
            self._refuse("days", "use a whole number from 1")
        return days

    def _account(self) -> str | None:
        account = self.content.get("account")
        if account is not None and (type(account) is not str or not account.strip()):
            self._refuse("account", "use a name of `gsc-trio accounts`")
        return account

    def _query(
        self,
        site: str,
        search_type: str,
        dimensions: str,
        data_state: str,
        filters: tuple[DimensionFilter, ...],
    ) -> SearchAnalyticsQuery:
        names = tuple(name.strip() for name in dimensions.split(","))
        try:
            return SearchAnalyticsQuery(
                site_url=site,
                search_type=search_type,
                dimensions=names,
                data_state=data_state,
                filters=filters,
            )
        except UsageError as error:
            key = "dimensions"
            if repr(site) in str(error):
                key = "sites"
            elif "unknown search type" in str(error):
                key = "search_types"
            raise UsageError(f"{self.place(key)}: {key}: {error}") from None

    def _refuse(self, key: str, allowed: str) -> None:
        raise UsageError(f"{self.place(key)}: {key} is {self.content[key]!r}: {allowed}")
