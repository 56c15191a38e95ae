"""Postgres' errors, each told in one clear line that says what to do."""

from __future__ import annotations

import psycopg
from psycopg import errors

from gsc_trio.errors import StorageError
from gsc_trio.store.postgres.address import Address

_ADVICE: tuple[tuple[type[psycopg.Error], str], ...] = (
    (errors.DiskFull, "the server's disk is full: free some space and run it again"),
    (errors.LockNotAvailable, "another program keeps it locked: let that finish and run it again"),
    (errors.ReadOnlySqlTransaction, "it can only be read: is it a standby server?"),
    (errors.InsufficientPrivilege, "the user lacks a permission"),
    (errors.InvalidPassword, "the user or the password is wrong"),
    (errors.InvalidAuthorizationSpecification, "the server does not let this user in"),
    (errors.InvalidCatalogName, "there is no such database: create it first"),
    (errors.UndefinedTable, "a table is missing: was it removed while it was in use?"),
    (psycopg.DataError, "a value cannot be stored"),
    (psycopg.IntegrityError, "a value cannot be stored"),
)

REPEATABLE = (errors.DeadlockDetected, errors.SerializationFailure)
"""The server has undone the transaction for the sake of another: it may be done again at once."""


def is_lost(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    """Whether a connection is of no use any more."""
    return connection.closed or connection.broken


def as_storage_error(error: Exception, address: Address, action: str) -> StorageError:
    """What happened, to which database, and what to do about it.

    Args:
        error: psycopg's error, or Python's about a value that cannot be encoded.
        address: the database.
        action: what was tried: ``open``, ``write`` or ``read``.
    """
    message = address.scrubbed(_primary(error))
    return StorageError(f"cannot {action} {address}: {_explained(error, message)}")


def as_lost(error: Exception, address: Address, *, in_commit: bool) -> StorageError:
    """The same, of a connection that ended in mid-transaction."""
    outcome = "nothing was written"
    if in_commit:
        outcome = "whether the last pages were written the next run finds out"
    message = address.scrubbed(_primary(error))
    return StorageError(f"the connection to {address} was lost: {outcome} ({message})")


def _primary(error: Exception) -> str:
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        return error.diag.message_primary
    return str(error)


def _explained(error: Exception, message: str) -> str:
    if not isinstance(error, psycopg.Error):
        return f"a value cannot be stored: {message}"
    for kind, advice in _ADVICE:
        if isinstance(error, kind):
            return f"{advice} ({message})"
    return message
