"""Writes `.nrws` streams."""

from __future__ import annotations

import struct
from typing import BinaryIO

from narrows._core import crc32c
from narrows.container.forms import (
    CODED,
    INDEXED,
    LIVE,
    MAX_CHUNK_BYTES,
    MAX_TRACKS,
    MAX_VARINT,
    ChunkInfo,
    entry_bytes,
    header_bytes,
    preamble,
    varint,
)
from narrows.container.order import Order
from narrows.contracts import Chunk, Header, Kind


class Writer:
    """Writes a stream front to back; the file need not seek. Breaking a rule of the format is a ValueError.

    `live` says that counts in the header are not final, and flushes each chunk; `indexed` adds an INDEX.
    """

    def __init__(self, file: BinaryIO, header: Header, *, live: bool = False, indexed: bool = False) -> None:
        data = preamble(header, LIVE * live | INDEXED * indexed)
        self._file = file
        self._indexed = indexed
        self._tracks = [header]
        self._order = Order(position=len(data), live=live)
        self._write(data)

    @property
    def num_bytes(self) -> int:
        """Bytes written so far."""
        return self._order.position

    def add_track(self, header: Header) -> int:
        """A further track, before the first coded chunk; its number."""
        if len(self._tracks) == MAX_TRACKS:
            raise ValueError(f"a stream has at most {MAX_TRACKS} tracks")
        self._put(Kind.TRACK, header_bytes(header))
        self._tracks.append(header)
        return len(self._tracks) - 1

    def metadata(self, kind: int, payload: bytes) -> None:
        """An ancillary chunk; ICC, EXIF and XMP before the first coded one."""
        if not 0x80 <= kind <= 0xFF or kind == Kind.INDEX:
            raise ValueError(f"chunk type {kind:02X} is not metadata")
        self._put(kind, payload)

    def write(self, chunk: Chunk) -> None:
        """A coded chunk."""
        if chunk.kind not in CODED or not (0 <= chunk.layer < 16 and 0 <= chunk.track < MAX_TRACKS):
            raise ValueError(f"no coded chunk: kind {chunk.kind}, layer {chunk.layer}, track {chunk.track}")
        if not (0 <= chunk.first <= MAX_VARINT and 0 <= chunk.count <= MAX_VARINT):
            raise ValueError(f"first and count are 0 to 2**48, not {chunk.first} and {chunk.count}")
        if chunk.kind == Kind.TABLE and (chunk.first or chunk.count):
            raise ValueError("a TABLE has no first and count")
        entry = entry_bytes(chunk)
        info = ChunkInfo(
            self._order.position,
            chunk.kind,
            len(entry) + len(chunk.payload),
            chunk.track,
            chunk.layer,
            chunk.first,
            chunk.count,
        )
        self._refuse(self._order.refuse(chunk.kind) or self._order.place(info, self._tracks))
        self._put(chunk.kind, entry, chunk.payload)

    def finish(self) -> None:
        """INDEX if asked for, and END. ValueError if the chunks do not cover what the headers declare."""
        self._refuse(self._order.incomplete(self._tracks))
        if self._indexed:
            self._put(Kind.INDEX, bytes(self._order.index))
            distance = self._order.position - self._order.index_offset
            self._put(Kind.END, struct.pack("<II", self._order.number, distance))
        else:
            self._put(Kind.END, varint(self._order.number))
        self._file.flush()

    @staticmethod
    def _refuse(problem: str | None) -> None:
        if problem:
            raise ValueError(problem)

    def _put(self, kind: int, *parts: bytes) -> None:
        length = sum(map(len, parts))
        self._refuse(self._order.refuse(kind))
        if length > MAX_CHUNK_BYTES:
            raise ValueError(f"a chunk has at most {MAX_CHUNK_BYTES:,} bytes, not {length:,}")
        head = bytes([kind]) + varint(length)
        crc = 0
        for part in (head, *parts):
            self._write(part)
            crc = crc32c(part, crc)
        self._write(struct.pack("<I", crc))
        start = self._order.position
        self._order.passed(kind, start, start + len(head) + length + 4)
        if self._order.live:
            self._file.flush()

    def _write(self, data: bytes) -> None:
        """All of `data`: an unbuffered file may take less at a time."""
        written = self._file.write(data)
        while written is not None and written < len(data):
            data = memoryview(data)[written:]  # type: ignore[assignment]
            written = self._file.write(data)
