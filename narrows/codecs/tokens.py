"""`tokens/NAME`: a trained image tokenizer and its integer prior as a codec with a real rate.

One DATA chunk holds the symbols of all positions, coded by the weights' context networks and tables; alpha is
exact, in PARTs of 1,024 rows behind it. Ids, and with them pixels, are the same on every machine: prior and
decoder run in integers. Params: the rate, a varint; format: docs/format.md, "tokens".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from narrows import _core, models
from narrows.container.forms import Input, varint
from narrows.contracts import Chunk, ChunkSource, Header, Kind, Want, check_range, crop, shrink
from narrows.errors import CorruptStream
from narrows.limits import Limits
from narrows.signals import Array, Image
from narrows.tokenizers.image import CELL, DEFAULT_QUALITY, MODELS, ImageTokenizer, Stack, bands_of

STRIP_ROWS = 1024


@dataclass(frozen=True)
class Options:
    """`quality` 0 to 100 chooses the quantizer's step, or how many stages or bits of each code are sent.

    `effort` 1 to 9 seeks this picture's latent by gradient (`narrows.tokenizers.search`), four steps each;
    it needs the extra `neural`, and what it finds is decoded without. For codes it changes nothing.
    """

    quality: float = DEFAULT_QUALITY
    effort: int = 0

    def __post_init__(self) -> None:
        check_range("quality", self.quality, 0, 100)
        check_range("effort", self.effort, 0, 9)


class TokenCodec:
    """Pictures by way of a tokenizer's ids. Weights are loaded once, when an instance is made."""

    version, signal, options = 1, Image, Options
    traits = frozenset({"exact"})

    def __init__(self, tokenizer: ImageTokenizer, model: bytes) -> None:
        self.name = f"tokens/{tokenizer.name}"
        self.tokenizer = tokenizer
        self._model = model

    def encode(self, signal: Image, options: Options, *, threads: int = 1) -> tuple[Header, Iterator[Chunk]]:
        """The header, and the symbols as one chunk."""
        pixels = np.ascontiguousarray(signal.pixels)
        stack = self.tokenizer.stack
        rate = stack.rate_of(options.quality)
        bands = bands_of(pixels[:, :, : _num_colors(signal.channels)], signal.peak)
        if options.effort and not stack.is_binary:
            from narrows.tokenizers.search import search

            symbols = search(stack, bands, rate, steps=4 * options.effort).symbols
        else:
            symbols = stack.quantize(stack.latent(bands), rate)
        payload = stack.prior.encode(symbols, self._side(rate, symbols.shape), check=False, hash_index=False)
        chunks = [Chunk(payload, 0, signal.height)]
        if signal.channels in (2, 4):
            for first in range(0, signal.height, STRIP_ROWS):
                rows = np.ascontiguousarray(pixels[first : first + STRIP_ROWS, :, -1:])
                coded = _core.graphics_encode(rows, signal.bit_depth)
                chunks.append(Chunk(coded, first, len(rows), 0, Kind.PART))
        return Header.of(self, signal, varint(rate), self._model), iter(chunks)

    def decode(
        self, header: Header, chunks: ChunkSource, want: Want, *, threads: int = 1, limits: Limits = Limits()
    ) -> Image:
        """The picture, or the part wanted. Of a damaged stream what is missing is gray, and opaque."""
        limits.check("max_pixels", header.width * header.height)
        tokenizer, rate = self._tokenizer_of(header), _rate(header.params)
        stack = tokenizer.stack
        try:
            stack.check_rate(rate)
        except ValueError as error:
            raise CorruptStream(str(error)) from None
        shape = (stack.rows(rate), -(-header.height // CELL), -(-header.width // CELL))
        limits.check("max_output_bytes", 4 * shape[0] * shape[1] * shape[2])
        dims = (header.height, header.width, _num_colors(header.channels), (1 << header.bit_depth) - 1)
        colors: Array | None = None
        alpha = None
        if header.channels in (2, 4):
            dtype = np.uint8 if header.bit_depth <= 8 else np.uint16
            alpha = np.full((header.height, header.width, 1), dims[3], dtype)
        known_rows = 0
        for chunk in chunks:
            if chunk.kind == Kind.DATA:
                if colors is not None or (chunk.first, chunk.count, chunk.layer) != (0, header.height, 0):
                    raise CorruptStream("tokens have one DATA, of all rows")
                side = self._side(rate, shape, tokenizer)
                symbols = stack.prior.decode(chunk.payload, shape, side, check=False, limits=limits)
                try:
                    colors = tokenizer.pixels(symbols, rate, dims)
                except ValueError as error:
                    raise CorruptStream(str(error)) from None
                continue
            count = min(STRIP_ROWS, header.height - chunk.first)
            if alpha is None or colors is None or chunk.kind != Kind.PART:
                raise CorruptStream("a PART of tokens is alpha, behind the DATA")
            late = chunk.first < known_rows if chunks.partial else chunk.first != known_rows
            if late or chunk.first % STRIP_ROWS or chunk.count != count or chunk.layer:
                raise CorruptStream(f"rows {chunk.first} and on are not the strip that comes next")
            _core.graphics_decode(chunk.payload, alpha[chunk.first : chunk.first + count], header.bit_depth)
            known_rows = chunk.first + count
        if not chunks.partial and (colors is None or (alpha is not None and known_rows < header.height)):
            raise CorruptStream("chunks of the picture are missing")
        if colors is None:
            dtype = np.uint8 if header.bit_depth <= 8 else np.uint16
            colors = np.full(dims[:3], (dims[3] + 1) // 2, dtype)
        pixels = colors if alpha is None else np.concatenate([colors, alpha], 2)
        image: Image = header.signal(shrink(pixels, want.shift))
        partly = want.start is not None or want.stop is not None or want.region is not None
        return crop(image, want) if partly else image

    def _tokenizer_of(self, header: Header) -> ImageTokenizer:
        """The tokenizer whose weights a header names: this version's, or others that are installed."""
        if len(header.model) != 8:
            raise CorruptStream("a stream of tokens names its model")
        if header.model == self._model:
            return self.tokenizer
        stack = Stack.from_arrays(models.load(self.name, header.model))
        if stack.kind != self.tokenizer.name:
            raise CorruptStream(f"the stream's model is of {stack.kind}, not of {self.tokenizer.name}")
        return ImageTokenizer(self.tokenizer.name, stack)

    def _side(
        self, rate: int, shape: tuple[int, ...], tokenizer: ImageTokenizer | None = None
    ) -> Array | None:
        """What the prior knows of every symbol: the step, where there is one."""
        stack = (tokenizer or self.tokenizer).stack
        sides = stack.prior.num_sides
        return np.full((sides, *shape), stack.side(rate), np.uint8) if sides else None


def _num_colors(channels: int) -> int:
    return 3 if channels >= 3 else 1


def _rate(params: bytes) -> int:
    source = Input(params)
    rate = source.varint()
    if not source.at_end():
        raise CorruptStream("params of tokens are one varint")
    return rate


def _codec(name: str) -> TokenCodec:
    return TokenCodec(ImageTokenizer(name), bytes.fromhex(MODELS[name]))


def vae() -> TokenCodec:
    """`tokens/vae`."""
    return _codec("vae")


def wae() -> TokenCodec:
    """`tokens/wae`."""
    return _codec("wae")


def vq() -> TokenCodec:
    """`tokens/vq`."""
    return _codec("vq")


def bsq() -> TokenCodec:
    """`tokens/bsq`."""
    return _codec("bsq")


def walloc() -> TokenCodec:
    """`tokens/walloc`."""
    return _codec("walloc")
