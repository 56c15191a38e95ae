"""The address of a Postgres database: read once, and told without its password.

Must never: let a password into a message or a ``repr``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import quote, urlencode

import attrs
from psycopg import Error
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from gsc_trio.errors import UsageError

CONNECT_TIMEOUT_SECONDS = 4
"""How long one try to reach the server may take: nothing can cut it short."""

_DEFAULTS: dict[str, str | int] = {
    "application_name": "gsc-trio",
    "client_encoding": "UTF8",
    "connect_timeout": CONNECT_TIMEOUT_SECONDS,
    # A server or network that is gone is noticed within a minute, not after hours.
    "keepalives_idle": 20,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 40_000,
}

_SECRETS = ("password", "sslpassword")


@attrs.frozen
class Address:
    """Where a database is and who asks; `read_address` makes it."""

    name: str
    """As it may be shown: ``postgresql://user@host:port/database``, without the password."""
    conninfo: str = attrs.field(repr=False)
    """As libpq takes it, with the password."""
    _secrets: tuple[str, ...] = attrs.field(repr=False)

    def scrubbed(self, message: str) -> str:
        """A message without anything secret, in one line."""
        for secret in self._secrets:
            message = message.replace(secret, "***")
        return "; ".join(" ".join(line.split()) for line in message.splitlines() if line.strip())

    def __str__(self) -> str:
        return self.name


def read_address(dsn: str) -> Address:
    """Read a ``postgresql://`` address, or whatever else libpq takes (``host=… dbname=…``).

    What it leaves out comes from libpq's own variables and files: ``PGPASSWORD``, ``.pgpass``, …

    Raises:
        UsageError: it cannot be understood. Nothing of it is in the message but how to write it.
    """
    unclear = UsageError(
        "the database's address cannot be understood: write postgresql://USER@HOST:PORT/DATABASE, "
        "with special characters in it as %40 for @; a password is best left to PGPASSWORD or "
        "~/.pgpass"
    )
    try:
        facts = conninfo_to_dict(dsn)
    except Error:  # libpq's message may have a part of the password in it
        raise unclear from None
    host = str(facts.get("host") or os.environ.get("PGHOST") or "")
    port = str(facts.get("port") or "0")
    # With an @ or a / in it, a part of a password passes for one of these.
    if "@" in f"{host}{facts.get('dbname')}" or not port.replace(",", "").isdecimal():
        raise unclear
    secrets = [str(facts[name]) for name in _SECRETS if facts.get(name)]
    secrets += [os.environ["PGPASSWORD"]] if os.environ.get("PGPASSWORD") else []
    conninfo = make_conninfo("", **{**_DEFAULTS, **facts})
    return Address(_shown(facts, host), conninfo, tuple(secrets))


def _shown(facts: Mapping[str, object], host: str) -> str:
    user = f"{facts['user']}@" if facts.get("user") else ""
    port = f":{facts['port']}" if facts.get("port") else ""
    place = host.replace("/", "%2F")  # the folder of a socket
    others = {
        name: value
        for name, value in facts.items()
        if name not in {"user", "host", "port", "dbname", *_SECRETS}
        and value is not None
        and str(value) != str(_DEFAULTS.get(name))  # nobody has written that
    }
    options = f"?{urlencode(others, quote_via=quote)}" if others else ""
    return f"postgresql://{user}{place}{port}/{facts.get('dbname') or ''}{options}"
