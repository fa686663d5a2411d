"""`bytes`: any file, in blocks, by context mixing. The smallest codec; copy this file to begin another."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar, cast

from narrows import _core
from narrows.contracts import Chunk, ChunkSource, Header, Kind, Want, check_range, crop
from narrows.errors import CorruptStream
from narrows.limits import Limits
from narrows.signals import Blob

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Options:
    """Larger blocks make smaller files; smaller ones seek faster and keep more threads busy."""

    block_bytes: int = 4 << 20

    def __post_init__(self) -> None:
        check_range("block_bytes", self.block_bytes, 1024, _core.MAX_BLOCK_BYTES)


class Bytes:
    """Each block is one DATA that needs no other: a byte, 0 stored or 1 mixed, then the coded block."""

    name, version, signal, options = "bytes", 1, Blob, Options
    traits = frozenset({"lossless", "exact", "seekable"})

    def encode(self, signal: Blob, options: Options, *, threads: int = 1) -> tuple[Header, Iterator[Chunk]]:
        """A header without params, and the blocks, coded as they are taken."""

        def code(first: int) -> Chunk:
            block = signal.data[first : first + int(options.block_bytes)]
            return Chunk(_core.bytes_encode(block), first, len(block))

        firsts = range(0, len(signal.data), int(options.block_bytes))
        return Header.of(self, signal, lossless=True), _in_order(code, firsts, threads)

    def decode(
        self, header: Header, chunks: ChunkSource, want: Want, *, threads: int = 1, limits: Limits = Limits()
    ) -> Blob:
        """The bytes wanted. Where blocks of a damaged file were lost there are zeros."""
        if header.params:
            raise CorruptStream(f"bytes has no params, these are {len(header.params)} bytes")

        def block(chunk: Chunk) -> tuple[int, bytes]:
            if chunk.kind != Kind.DATA or chunk.count > _core.MAX_BLOCK_BYTES:
                raise CorruptStream("a block is not what its entry says")
            return chunk.first, _core.bytes_decode(chunk.payload, chunk.count)

        start, _ = want.span(header.size)
        first, data = start, bytearray()
        for at, values in _in_order(block, chunks.covering(want), threads):
            first = first if data else min(first, at)
            data += bytes(at - first - len(data)) + values
        return cast(Blob, crop(Blob(bytes(data)), want, first, header.size))


def _in_order(work: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """`work` of each item in their order, `threads` of them under way at a time."""
    with ThreadPoolExecutor(threads) as pool:
        started: deque[Future[R]] = deque()
        for item in items:
            started.append(pool.submit(work, item))
            if len(started) == threads:
                yield started.popleft().result()
        while started:
            yield started.popleft().result()
