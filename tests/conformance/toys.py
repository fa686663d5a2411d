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
        layer = 2 - min(want.shift, 2)
        shapes = [(-(-header.height >> s), -(-header.width >> s), header.channels) for s in (2, 1, 0)]
        bands: list[Any] = []
        rows = 0
        for chunk in chunks.layers(layer):
            if chunk.layer < layer:
                continue
            height, width, channels = shapes[layer]
            count = chunk.count if layer == 2 else height
            bands.append(_pixels(chunk.payload, (count, width, channels), header.bit_depth))
            rows += count
            if rows >= height:
                break
        if rows != shapes[layer][0] and not chunks.partial:
            raise CorruptStream(f"{rows} rows of {shapes[layer][0]}")
        if rows < shapes[layer][0]:
            dtype = np.uint8 if header.bit_depth <= 8 else np.uint16
            bands.append(np.zeros((shapes[layer][0] - rows, *shapes[layer][1:]), dtype))
        image: Image = header.signal(shrink(np.concatenate(bands), max(want.shift - 2, 0)))
        return crop(image, want, length=header.height) if want.start or want.stop or want.region else image


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
