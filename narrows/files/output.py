"""Output that appears whole or not at all."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

_parts: set[Path] = set()
_NAME_BYTES = 200  # of the target's name inside the part's, so that it stays under the usual limit of 255


class _Named(io.FileIO):
    """A file whose errors in writing carry the name asked for: it is the output's disk that is full."""

    def __init__(self, file: int | Path, mode: str, *, name: str | os.PathLike[str]) -> None:
        super().__init__(file, mode)
        self._asked = os.fspath(name)

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            error.filename = self._asked
            raise


@contextlib.contextmanager
def atomic(path: str | os.PathLike[str], *, force: bool = False) -> Iterator[BinaryIO]:
    """Open a file beside `path` for writing and give it that name when the block ends without an exception.

    The part is called `.<name>.<random>.part`, is synced to disk before the rename, and is removed on any
    failure, KeyboardInterrupt included. A link is followed; a device or pipe is written to directly.

    Raises FileExistsError if `path` exists and `force` is false, also if it appeared meanwhile.
    """
    target = Path(os.path.realpath(path))
    mode = None
    with contextlib.suppress(FileNotFoundError):
        mode = os.stat(path).st_mode
    if mode is not None and stat.S_ISDIR(mode):
        raise IsADirectoryError(21, "Is a directory", os.fspath(path))
    if mode is not None and not stat.S_ISREG(mode):
        with io.BufferedWriter(_Named(target, "w", name=path)) as special:
            yield special
        return
    if mode is not None and not force:
        raise FileExistsError(17, "File exists", os.fspath(path))

    part, file = _open_part(target, path)
    _parts.add(part)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if mode is not None:
                os.chmod(part, stat.S_IMODE(mode))
        _give_name(part, target, path, force)
    finally:
        _remove(part)


@contextlib.contextmanager
def live(path: str | os.PathLike[str], *, force: bool = False) -> Iterator[BinaryIO]:
    """Open `path` itself for output that is of use while it grows; it stays whatever happens.

    It is created exclusively: FileExistsError if it exists, unless `force`, which empties it.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | (os.O_TRUNC if force else os.O_EXCL)
    try:
        handle = os.open(path, flags, 0o666)
    except FileExistsError:
        if stat.S_ISREG(os.stat(path).st_mode):
            raise
        handle = os.open(path, os.O_WRONLY | getattr(os, "O_BINARY", 0))  # a pipe or device is meant so
    with io.BufferedWriter(_Named(handle, "w", name=path)) as file:
        yield file


def discard_parts() -> None:
    """Remove the parts of all outputs under way: for a process that ends without unwinding its stack."""
    for part in list(_parts):
        _remove(part)


def _remove(part: Path) -> None:
    with contextlib.suppress(OSError):
        part.unlink()
    _parts.discard(part)


def _open_part(target: Path, path: str | os.PathLike[str]) -> tuple[Path, BinaryIO]:
    name = os.fsdecode(os.fsencode(target.name)[:_NAME_BYTES])
    part = target.with_name(f".{name}.{secrets.token_hex(4)}.part")
    try:
        handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    except OSError as error:
        # The caller knows the name asked for, not the part's.
        raise type(error)(error.errno, error.strerror, os.fspath(path)) from None
    return part, io.BufferedRandom(_Named(handle, "w+", name=path))


def _give_name(part: Path, target: Path, path: str | os.PathLike[str], force: bool) -> None:
    if not force:
        try:
            os.link(part, target)  # unlike a rename, refuses a target that appeared meanwhile
        except FileExistsError:
            raise FileExistsError(17, "File exists", os.fspath(path)) from None
        except OSError:  # a file system without hard links
            if target.exists():
                raise FileExistsError(17, "File exists", os.fspath(path)) from None
        else:
            return
    os.replace(part, target)
