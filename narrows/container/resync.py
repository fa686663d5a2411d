"""Finds where chunks go on in a damaged file: nothing marks them, but a checksum proves them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from narrows.container.forms import MAX_CHUNK_BYTES, ChunkInfo, Input
from narrows.contracts import Kind
from narrows.errors import CorruptStream

_BLOCK_BYTES = 1 << 20
_KINDS = re.compile(bytes([*b"[", Kind.DATA, Kind.END, *b"]"]))
# Checksums are taken of at most so many times the file's bytes in all, whatever it looks like.
_MOST_TIMES = 8


class Work:
    """How many more bytes checksums may be taken of, of one file however many holes it has."""

    def __init__(self, source: Input) -> None:
        self.left = _MOST_TIMES * (source.size or 0)

    def take(self, count: int) -> bool:
        """Whether `count` bytes more are allowed; they count."""
        self.left -= count
        return self.left >= 0


def is_whole(source: Input, offset: int, work: Work) -> bool:
    """Whether a chunk of any kind with the right checksum stands at `offset` of a file that seeks.

    False where the work is done that was allowed.
    """
    try:
        if not work.take(_head(source, offset, digest=False).length):
            return False
        _head(source, offset)
        source.check("", offset)
    except CorruptStream:
        return False
    return True


def next_chunk(source: Input, start: int, fits: Callable[[ChunkInfo], bool], work: Work) -> int | None:
    """The first byte from `start` on where a whole DATA stands that `fits`, or END at the end of the file.

    None if there is none, or none was found before the work allowed was done.
    """
    for offset in _candidates(source, start):
        try:
            info = _head(source, offset, digest=False)
            if info.kind == Kind.END:
                possible = info.end == source.size
            else:
                entry = Input(source.read(min(info.length, 21)))
                place, first, count = entry.byte(), entry.varint(), entry.varint()
                possible = fits(
                    ChunkInfo(offset, info.kind, info.length, place >> 4, place & 15, first, count)
                )
        except CorruptStream:
            continue
        if possible and is_whole(source, offset, work):
            return offset
        if work.left < 0:
            return None
    return None


def _candidates(source: Input, start: int) -> Iterator[int]:
    """Where a DATA or END may begin, by its first byte."""
    size = source.size or 0
    for at in range(start, size, _BLOCK_BYTES):
        source.seek(at)
        for match in _KINDS.finditer(source.read(min(_BLOCK_BYTES, size - at))):
            yield at + match.start()


def _head(source: Input, offset: int, *, digest: bool = True) -> ChunkInfo:
    """Kind and length of what may be a chunk, which must end within the file; then `source` stands in it, or
    having taken its checksum behind its payload. CorruptStream.
    """
    source.seek(offset)
    source.crc = 0
    kind, length = source.byte(), source.varint(MAX_CHUNK_BYTES)
    if source.position + length + 4 > (source.size or 0):
        raise CorruptStream("ends behind the file", offset)
    info = ChunkInfo(offset, kind, length)
    if digest:
        source.digest(length)
    return info
