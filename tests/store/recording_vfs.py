"""A shim between SQLite and the file system: it writes down every change, and fails on demand.

It registers a copy of SQLite's own VFS with a few methods replaced, in the very library that
Python's sqlite3 module uses. All that is not replaced (locks, shared memory, reading) goes
straight to the original. Where that library cannot be found, there is no shim.
"""

from __future__ import annotations

import ctypes
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

SQLITE_OK = 0
SQLITE_READONLY = 8
SQLITE_FULL = 13
SQLITE_CANTOPEN = 14
SQLITE_IOERR_WRITE = 10 | (3 << 8)
SQLITE_IOERR_FSYNC = 10 | (4 << 8)
SQLITE_IOERR_TRUNCATE = 10 | (6 << 8)

_RECORDED_FILES = 0x100 | 0x800 | 0x80000
"""SQLITE_OPEN_MAIN_DB, _MAIN_JOURNAL and _WAL: all that outlives a process."""

_METHODS = [
    "xClose",
    "xRead",
    "xWrite",
    "xTruncate",
    "xSync",
    "xFileSize",
    "xLock",
    "xUnlock",
    "xCheckReservedLock",
    "xFileControl",
    "xSectorSize",
    "xDeviceCharacteristics",
    "xShmMap",
    "xShmLock",
    "xShmBarrier",
    "xShmUnmap",
    "xFetch",
    "xUnfetch",
]


class _Vfs(ctypes.Structure):
    """struct sqlite3_vfs (Source: sqlite3.h)."""

    _fields_ = (
        ("iVersion", ctypes.c_int),
        ("szOsFile", ctypes.c_int),
        ("mxPathname", ctypes.c_int),
        ("pNext", ctypes.c_void_p),
        ("zName", ctypes.c_char_p),
        ("pAppData", ctypes.c_void_p),
        ("xOpen", ctypes.c_void_p),
        ("xDelete", ctypes.c_void_p),
        ("others", ctypes.c_void_p * 14),
    )


class _IoMethods(ctypes.Structure):
    """struct sqlite3_io_methods (Source: sqlite3.h)."""

    _fields_ = (("iVersion", ctypes.c_int), *((name, ctypes.c_void_p) for name in _METHODS))


class _File(ctypes.Structure):
    """struct sqlite3_file (Source: sqlite3.h)."""

    _fields_ = (("pMethods", ctypes.c_void_p),)


_int, _pointer, _int64 = ctypes.c_int, ctypes.c_void_p, ctypes.c_int64
_Open = ctypes.CFUNCTYPE(_int, _pointer, _pointer, _pointer, _int, _pointer)
_Delete = ctypes.CFUNCTYPE(_int, _pointer, _pointer, _int)
_Write = ctypes.CFUNCTYPE(_int, _pointer, _pointer, _int, _int64)
_Truncate = ctypes.CFUNCTYPE(_int, _pointer, _int64)
_Sync = ctypes.CFUNCTYPE(_int, _pointer, _int)
_Close = ctypes.CFUNCTYPE(_int, _pointer)


@attrs.frozen
class Operation:
    """A change of a file, as it was asked of the operating system."""

    kind: str
    """``create``, ``write``, ``truncate``, ``sync`` or ``delete``."""
    file: str
    """The file's name."""
    offset: int = 0
    """Where it is written to, or the new size."""
    data: bytes = attrs.field(default=b"", repr=False)


@attrs.define(eq=False)
class RecordingVfs:
    """What was done since it was installed."""

    operations: list[Operation] = attrs.field(factory=list)
    fail: Callable[[Operation], int] = lambda _: SQLITE_OK
    """Says with which result code an operation fails, before it is done."""


def find_library() -> ctypes.CDLL | None:
    """The library that the sqlite3 module is linked to, if it is one of its own."""
    maps = Path("/proc/self/maps")
    if not sqlite3.sqlite_version or not maps.exists():
        return None
    found = re.search(r"\s(/\S*/libsqlite3\.so\S*)$", maps.read_text(), re.MULTILINE)
    return ctypes.CDLL(found[1]) if found else None


@contextmanager
def installed_vfs() -> Iterator[RecordingVfs]:
    """Make the shim SQLite's default for what is opened in the body."""
    library = find_library()
    assert library is not None
    library.sqlite3_vfs_find.restype = ctypes.c_void_p
    original_address = library.sqlite3_vfs_find(None)
    original = _Vfs.from_address(original_address)
    recorder = RecordingVfs()
    shim = _Shim(recorder, original, original_address)
    assert library.sqlite3_vfs_register(ctypes.byref(shim.vfs), 1) == SQLITE_OK
    try:
        yield recorder
    finally:
        library.sqlite3_vfs_unregister(ctypes.byref(shim.vfs))
        library.sqlite3_vfs_register(ctypes.c_void_p(original_address), 1)
        _kept.append(shim)  # a connection that is still open uses its methods


_kept: list[Any] = []


class _Shim:
    """The callbacks, and the structures that point to them."""

    def __init__(self, recorder: RecordingVfs, original: _Vfs, original_address: int) -> None:
        self._recorder = recorder
        self._original_address = original_address
        self._original_open = _Open(original.xOpen)
        self._original_delete = _Delete(original.xDelete)
        self._names: dict[int, str] = {}
        self._methods: dict[int, tuple[_IoMethods, _IoMethods]] = {}
        self._callbacks = {
            "xWrite": _Write(self._write),
            "xTruncate": _Truncate(self._truncate),
            "xSync": _Sync(self._sync),
            "xClose": _Close(self._close),
        }
        self._open_callback, self._delete_callback = _Open(self._open), _Delete(self._delete)
        self.vfs = _Vfs.from_buffer_copy(original)
        self.vfs.zName = b"recording"
        self.vfs.xOpen = ctypes.cast(self._open_callback, _pointer)
        self.vfs.xDelete = ctypes.cast(self._delete_callback, _pointer)

    def _record(self, operation: Operation, do: Callable[[], int]) -> int:
        code = self._recorder.fail(operation)
        if code == SQLITE_OK:
            code = do()
        if code == SQLITE_OK:
            self._recorder.operations.append(operation)
        return code

    def _open(self, _: int, name: int, file: int, flags: int, out_flags: int) -> int:
        def do() -> int:
            # The name goes on as it is: SQLite looks for parameters of a URI behind it.
            return int(self._original_open(self._original_address, name, file, flags, out_flags))

        if not name or not flags & _RECORDED_FILES:
            return do()
        path = Path(ctypes.string_at(name).decode())
        code = do() if path.exists() else self._record(Operation("create", path.name), do)
        opened = _File.from_address(file)
        if code == SQLITE_OK and opened.pMethods:
            self._names[file] = path.name
            opened.pMethods = ctypes.addressof(self._replaced(opened.pMethods))
        return code

    def _replaced(self, address: int) -> _IoMethods:
        if address not in self._methods:
            original = _IoMethods.from_address(address)
            replaced = _IoMethods.from_buffer_copy(original)
            for name, callback in self._callbacks.items():
                setattr(replaced, name, ctypes.cast(callback, _pointer))
            self._methods[address] = (original, replaced)
        return self._methods[address][1]

    def _original(self, file: int) -> _IoMethods:
        ours = _File.from_address(file).pMethods
        return next(
            original
            for original, replaced in self._methods.values()
            if ctypes.addressof(replaced) == ours
        )

    def _write(self, file: int, buffer: int, amount: int, offset: int) -> int:
        operation = Operation("write", self._names[file], offset, ctypes.string_at(buffer, amount))
        original = _Write(self._original(file).xWrite)
        return self._record(operation, lambda: original(file, buffer, amount, offset))

    def _truncate(self, file: int, size: int) -> int:
        original = _Truncate(self._original(file).xTruncate)
        operation = Operation("truncate", self._names[file], size)
        return self._record(operation, lambda: original(file, size))

    def _sync(self, file: int, flags: int) -> int:
        original = _Sync(self._original(file).xSync)
        return self._record(Operation("sync", self._names[file]), lambda: original(file, flags))

    def _close(self, file: int) -> int:
        original = _Close(self._original(file).xClose)
        self._names.pop(file, None)
        return int(original(file))

    def _delete(self, _: int, name: int, sync_folder: int) -> int:
        path = Path(ctypes.string_at(name).decode())

        def do() -> int:
            return int(self._original_delete(self._original_address, name, sync_folder))

        return self._record(Operation("delete", path.name), do)
