"""Two codecs for tests only: the smallest that use blocks, layers, seeking and pipes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from narrows.contracts import Chunk, ChunkSource, Header, Kind, Want, check_range, crop, shrink
from narrows.errors import CorruptStream
from narrows.limits import Limits
from narrows.signals import Blob, Image


@dataclass(frozen=True)
class InvertOptions:
    block_bytes: int = 4096
    key: int = 255

    def __post_init__(self) -> None:
        check_range("block_bytes", self.block_bytes, 1, 1 << 24)
        check_range("key", self.key, 0, 255)


class Invert:
    """`invert`: bytes xor a key in blocks."""

    name, version, signal, options = "invert", 1, Blob, InvertOptions
    traits = frozenset({"lossless", "exact", "seekable"})

    def encode(
        self, signal: Blob, options: InvertOptions, *, threads: int = 1
    ) -> tuple[Header, Iterator[Chunk]]:
        def chunks() -> Iterator[Chunk]:
            for first in range(0, len(signal.data), options.block_bytes):
                block = signal.data[first : first + options.block_bytes]
                yield Chunk(_xor(block, options.key), first, len(block))

        return Header.of(self, signal, bytes([options.key]), lossless=True), chunks()

    def decode(
        self,
        header: Header,
        chunks: ChunkSource,
        want: Want,
        *,
        threads: int = 1,
        limits: Limits = Limits(),
    ) -> Blob:
        if len(header.params) != 1:
            raise CorruptStream(f"params has {len(header.params)} bytes, not 1")
        start, _ = want.span(header.size)
        first, blocks = start, []
        for chunk in chunks.covering(want) if not want.full else chunks:
            if chunk.kind != Kind.DATA or len(chunk.payload) != chunk.count:
                raise CorruptStream("a block is not what its entry says")
            first = min(first, chunk.first)
            blocks.append(_xor(chunk.payload, header.params[0]))
        return crop(Blob(b"".join(blocks)), want, first, header.size)


def _xor(block: bytes, key: int) -> bytes:
    return (np.frombuffer(block, np.uint8) ^ np.uint8(key)).tobytes()


@dataclass(frozen=True)
class PyramidOptions:
    quality: float | None = None
    lossless: bool = True


class Pyramid:
    """`pyramid`: a quarter, a half and the whole of a picture, uncompressed; layer 2 in bands of 16 rows."""

    name, version, signal, options = "pyramid", 1, Image, PyramidOptions
    traits = frozenset({"lossless", "exact", "progressive"})

    def encode(
        self, signal: Image, options: PyramidOptions, *, threads: int = 1
    ) -> tuple[Header, Iterator[Chunk]]:
        def chunks() -> Iterator[Chunk]:
            for layer in (0, 1):
                pixels = shrink(signal.pixels, 2 - layer)
                kind = Kind.PART if layer else Kind.DATA
                yield Chunk(_bytes(pixels), 0, signal.height, layer, kind)
            for first in range(0, signal.height, 16):
                band = signal.pixels[first : first + 16]
                yield Chunk(_bytes(band), first, len(band), 2, Kind.PART)

        return Header.of(self, signal, lossless=True), chunks()

    def decode(
        self,
        header: Header,
        chunks: ChunkSource,
        want: Want,
        *,
        threads: int = 1,
        limits: Limits = Limits(),
    ) -> Image:
        if header.params:
            raise CorruptStream(f"pyramid has no params, these are {len(header.params)} bytes")
        layer = 2 - min(want.shift, 2)
        planes = [
            np.zeros(
                (-(-header.height >> s), -(-header.width >> s), header.channels),
                np.uint8 if header.bit_depth <= 8 else np.uint16,
            )
            for s in (2, 1, 0)
        ]
        expected = [(0, 0), (1, 0)][: layer + 1]
        expected += [(2, first) for first in range(0, header.height, 16)] if layer == 2 else []
        for chunk in chunks.layers(layer):
            while expected and expected[0] != (chunk.layer, chunk.first) and chunks.partial:
                del expected[0]
            if not expected or expected.pop(0) != (chunk.layer, chunk.first):
                raise CorruptStream(f"an unexpected chunk of layer {chunk.layer}, row {chunk.first}")
            rows = planes[chunk.layer]
            rows = rows[chunk.first : chunk.first + 16] if chunk.layer == 2 else rows
            if chunk.count != (len(rows) if chunk.layer == 2 else header.height):
                raise CorruptStream(f"a chunk of {chunk.count} rows")
            rows[:] = _pixels(chunk.payload, rows.shape, header.bit_depth)
            if not expected and layer < 2:
                break
        if expected and not chunks.partial:
            raise CorruptStream("chunks are missing")
        image: Image = header.signal(shrink(planes[layer], max(want.shift - 2, 0)))
        return crop(image, want, length=header.height) if want.region or want.start or want.stop else image


def _bytes(pixels: Any) -> bytes:
    return np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<")).tobytes()


def _pixels(payload: bytes, shape: tuple[int, ...], bit_depth: int) -> Any:
    dtype = np.dtype("<u2" if bit_depth > 8 else "u1")
    if len(payload) != int(np.prod(shape)) * dtype.itemsize:
        raise CorruptStream(f"a band of {len(payload)} bytes, not {shape}")
    pixels = np.frombuffer(payload, dtype).reshape(shape).astype(dtype.newbyteorder("="))
    if int(pixels.max()) >> bit_depth:
        raise CorruptStream("a sample is above the peak")
    return pixels
