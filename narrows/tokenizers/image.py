"""Image tokenizers `vae`, `wae`, `vq`, `bsq` and `walloc`: pictures to ids and back, exactly, everywhere.

A picture's wavelet packet (three levels, 192 planes) is read by a linear map and a small network, quantized,
and the way back is alike. Every network runs in integers whose sums floats hold exactly, and the packet in
single IEEE operations of fixed order: ids and pixels are the same on every machine, without torch. The five
differ in their weights and in what they make of a latent; `narrows.training.tokenizer` trains them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from narrows import models
from narrows.entropy import Autoregressive, Layer, Tables
from narrows.entropy.reference import log2_256
from narrows.errors import ModelError, OptionError
from narrows.nets.exact import IntegerNetwork
from narrows.signals import Array, Image, Tokens
from narrows.transforms import packet

KINDS = ("vae", "wae", "vq", "bsq", "walloc")
MODELS: Mapping[str, str] = {
    "vae": "682340e76d44d31b",
    "wae": "9d2836cdea681629",
    "vq": "c4af59f87af999fe",
    "bsq": "a9bda25ee06bb3b6",
    "walloc": "d7a9fe9c40dc4847",
}
"""The weights by which each encodes; a stream names its own."""

LEVELS, CELL = 3, 8
PLANES = 3 * 4**LEVELS
INPUT_BITS = 2  # of fractions of an 8-bit level, in what encoders read
LATENT_BITS = 6  # of fractions of a latent, in what decoders read
OUTPUT_BITS = 6  # of fractions of an 8-bit level, in what decoders give
MOST_INPUT = (1 << 15) - 1
MOST_SYMBOL = 127
DEFAULT_QUALITY = 75.0
_MOST_ID_BITS = 16
_STRIP_CELLS = 1 << 15  # that a network runs over at once
Ints = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Stack:
    """What a weights file holds: networks, code and prior. `rates` are those of quality 0 and 100.

    A rate is the quantizer's step (`vae`, `wae`: 1/64 of a latent; `walloc`: 1/16 of a symbol), the number
    of stages (`vq`) or of bits (`bsq`). `code` is codes int16 [stages, size, channels] of `vq`, expanded
    latents int16 of `walloc` by 1/16 symbols, else empty. `feedback` [channels, channels] is of `bsq`: what
    each bit, a column, says of the latents of later channels.
    """

    kind: str
    channels: int
    rates: tuple[int, int]
    encoder: tuple[IntegerNetwork, ...]
    decoder: tuple[IntegerNetwork, ...]
    code: Ints
    prior: Autoregressive
    feedback: Ints

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Stack:
        """Raises ModelError for what is no image tokenizer."""
        try:
            kind = KINDS[int(arrays["kind"][0])]
            names = ("linear", "net")
            encoder, decoder = (
                tuple(
                    IntegerNetwork.from_arrays(arrays, f"{side}.{name}.")
                    for name in names
                    if f"{side}.{name}.0.kind" in arrays
                )
                for side in ("encoder", "decoder")
            )
            low, high = (int(rate) for rate in arrays["rates"])
            channels = decoder[0].layers[0].weight.shape[1]
            code = arrays.get("code", np.zeros(0, np.int16)).astype(np.int64)
            feedback = arrays.get("feedback", np.zeros((channels, channels), np.int16)).astype(np.int64)
            if feedback.shape != (channels, channels):
                raise ValueError("the feedback has another shape")
            stack = cls(kind, channels, (low, high), encoder, decoder, code, _prior(arrays), feedback)
            stack._check_shapes()
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ModelError(f"no image tokenizer is in these arrays: {error!r}") from None
        return stack

    def _check_shapes(self) -> None:
        """Raise ValueError where networks, code or rates do not fit each other."""
        sides = ((self.encoder, PLANES, self.channels), (self.decoder, self.channels, PLANES))
        for networks, inputs, outputs in sides:
            for network in networks:
                first, last = (network.layers[place].weight.shape for place in (0, -1))
                if (first[1], last[0]) != (inputs, outputs):
                    raise ValueError("a network's first or last layer has another shape")
        shape = self.code.shape
        if self.kind == "vq":
            whole = len(shape) == 3 and shape[2] == self.channels and not shape[1] & (shape[1] - 1)
            if not whole or self.id_bits > _MOST_ID_BITS:
                raise ValueError("the code is [stages, a power of two, channels]")
        elif shape != ((32 * MOST_SYMBOL + 1,) if self.kind == "walloc" else (0,)):
            raise ValueError("the code has another shape")
        for rate in self.rates:
            self.check_rate(rate)

    @property
    def is_binary(self) -> bool:
        """Whether symbols are bits, -1 and 1."""
        return self.kind in ("vq", "bsq")

    @property
    def id_bits(self) -> int:
        """Bits of an id, of tokenizers whose symbols are bits."""
        if self.kind == "vq":
            return int(self.code.shape[1] - 1).bit_length()
        return min(self.channels, _MOST_ID_BITS)

    def id_lengths(self, rate: int) -> list[int]:
        """Return how many symbols each id holds: the bits of `bsq` are cut into ids of at most 16."""
        rows, most = self.rows(rate), self.id_bits if self.is_binary else 1
        return [min(most, rows - first) for first in range(0, rows, most)]

    def rows(self, rate: int) -> int:
        """Return how many symbols a position has at a rate."""
        if self.kind == "vq":
            return rate * self.id_bits
        return rate if self.kind == "bsq" else self.channels

    def check_rate(self, rate: int) -> None:
        """Raise ValueError for a rate that this tokenizer does not have."""
        most = {"vq": len(self.code), "bsq": self.channels}.get(self.kind, 1 << 12)
        if not 1 <= rate <= most:
            raise ValueError(f"a rate of {self.kind} is 1 to {most}, not {rate}")

    def rate_of(self, quality: float) -> int:
        """Return the rate of a quality from 0 to 100; between those of 0 and 100 by equal ratios."""
        low, high = self.rates
        rate: float = low * (high / low) ** (quality / 100)
        return round(rate)

    def side(self, rate: int) -> int:
        """Return the byte by which the prior knows the step, 0 to 127: by octaves, in integers."""
        low, high = sorted(log2_256(value) for value in self.rates)
        reach = (high - low) // 4 + 1
        return min(127, max(0, (log2_256(rate) - low + reach) * 127 // (high - low + 2 * reach)))

    def latent(self, bands: Array) -> Ints:
        """Return the latent, int32 [channels, h, w] in 2^-6, of float32 bands in 8-bit levels."""
        given = np.clip(np.rint(bands * np.float32(1 << INPUT_BITS)), -MOST_INPUT, MOST_INPUT)
        return _sum(self.encoder, given.astype(np.int32))

    def quantize(self, latent: Ints, rate: int) -> Ints:
        """Return the symbols int32 [rows, h, w] of a latent."""
        self.check_rate(rate)
        if self.kind == "bsq":
            return self._signs(latent[:rate])
        if self.kind == "vq":
            return self._nearest(latent, rate)
        values = self.values(rate)
        if self.kind == "walloc":
            steps = np.arange(-MOST_SYMBOL, MOST_SYMBOL) * rate + rate // 2
            edges = self._expanded(steps)
        else:
            edges = (values[1:] + values[:-1]) // 2
        found = np.searchsorted(edges, latent.astype(np.int64), "left") - MOST_SYMBOL
        return found.astype(np.int32)

    def values(self, rate: int) -> Ints:
        """Return the latent of each symbol from -127 to 127, of tokenizers whose symbols are numbers."""
        symbols = np.arange(-MOST_SYMBOL, MOST_SYMBOL + 1)
        return self._expanded(symbols * rate) if self.kind == "walloc" else symbols * rate

    def _expanded(self, sixteenths: Ints) -> Ints:
        half = len(self.code) // 2
        # Rising beyond the code's ends too, so that a search among edges finds its place.
        beyond = sixteenths - np.clip(sixteenths, -half, half)
        out: Ints = self.code[np.clip(sixteenths, -half, half) + half] + beyond
        return out

    def _signs(self, latent: Ints) -> Ints:
        """Return the bits of a latent: each the sign of its channel less what the bits before say of it."""
        rest = latent.astype(np.int64)
        out = np.empty(latent.shape, np.int32)
        for k in range(len(rest)):
            out[k] = np.where(rest[k] > 0, 1, -1)
            rest[k + 1 :] -= self.feedback[k + 1 : len(rest), k, None, None] * out[k]
        return out

    def _nearest(self, latent: Ints, stages: int) -> Ints:
        """Return the bits of the nearest codes, stage by stage; ties to the lowest."""
        channels, height, width = latent.shape
        rest = latent.reshape(channels, -1).T.astype(np.int64)
        bits = []
        for book in self.code[:stages]:
            squares, books = np.square(book).sum(1), book.T.astype(np.float64)
            ids = np.empty(len(rest), np.int64)
            for first in range(0, len(rest), 4096):
                part = rest[first : first + 4096]
                # Products of integers below 2^53: exact in any order.
                ids[first : first + 4096] = (squares - 2 * (part.astype(np.float64) @ books)).argmin(1)
            rest = rest - book[ids]
            bits.append(unpack(ids, self.id_bits))
        return np.concatenate(bits).reshape(-1, height, width)

    def dequantize(self, symbols: Ints, rate: int) -> Ints:
        """Return the latent, int32 in 2^-6, of symbols [rows, h, w]. ValueError outside the code."""
        self.check_rate(rate)
        if symbols.ndim != 3 or len(symbols) != self.rows(rate):
            raise ValueError(f"symbols are [{self.rows(rate)}, h, w], not {list(symbols.shape)}")
        if self.is_binary:
            if not (np.abs(symbols) == 1).all():
                raise ValueError("a bit is -1 or 1")
        elif symbols.size and int(np.abs(symbols).max()) > MOST_SYMBOL:
            raise ValueError(f"a symbol lies beyond {MOST_SYMBOL}")
        shape = (self.channels, *symbols.shape[1:])
        if self.kind == "bsq":
            out = np.zeros(shape, np.int32)
            out[:rate] = symbols * (1 << LATENT_BITS)
            return out
        if self.kind == "vq":
            parts = symbols.reshape(rate, self.id_bits, -1)
            total = sum(self.code[stage][pack(bits)].T for stage, bits in enumerate(parts))
            return np.asarray(total, np.int32).reshape(shape)
        return np.asarray(self.values(rate)[symbols + MOST_SYMBOL], np.int32)

    def bands(self, latent: Ints) -> Array:
        """Return float32 bands in 8-bit levels."""
        whole = _sum(self.decoder, latent)
        return (whole.astype(np.float64) * 2.0**-OUTPUT_BITS).astype(np.float32)


def _sum(networks: tuple[IntegerNetwork, ...], x: Ints) -> Ints:
    """Return the sum of what `networks` give, run over strips of rows: integers do not depend on that."""
    height, width = x.shape[1:]
    reach = max(sum(layer.padding for layer in network.layers) for network in networks)
    strip = max(8, _STRIP_CELLS // width)
    parts = []
    for top in range(0, height, strip):
        first, last = max(top - reach, 0), min(top + strip + reach, height)
        total = sum(network(x[:, first:last]).astype(np.int64) for network in networks)
        kept = np.asarray(total)[:, top - first : top - first + min(strip, height - top)]
        parts.append(np.clip(kept, -(2**31) + 1, 2**31 - 1).astype(np.int32))
    return np.concatenate(parts, 1)


def pack(bits: Ints) -> Ints:
    """Return ids int64 [n] of bits [length, n] that are -1 and 1, the first the most significant."""
    ids = np.zeros(bits.shape[1], np.int64)
    for bit in bits:
        ids = ids << 1 | (bit > 0)
    return ids


def unpack(ids: Ints, length: int) -> Ints:
    """Return the bits int32 [length, n], -1 and 1, of ids [n]: the inverse of `pack`."""
    return np.stack([2 * (ids >> (length - 1 - j) & 1) - 1 for j in range(length)]).astype(np.int32)


def prior_arrays(prior: Autoregressive) -> dict[str, Array]:
    """Return a prior as arrays for a weights file: what `Stack.from_arrays` reads."""
    tables = prior.tables
    assert isinstance(tables, Tables)
    out: dict[str, Array] = {
        "prior.taps": np.asarray(prior.taps, np.int8),
        "prior.maps": prior.maps,
        "prior.form": np.array(
            [*prior.grid, *[1] * (2 - len(prior.grid)), prior.num_sides, prior.mean], np.int32
        ),
        "prior.bits": np.array([tables.bits], np.int32),
        "prior.offset": tables.offset.astype(np.int16),
        "prior.size": tables.size.astype(np.int16),
        "prior.frequencies": np.diff(tables.cdf.astype(np.int64), axis=1).astype(np.uint16),
    }
    for i, layer in enumerate(prior.layers):
        for name in ("weights", "bias", "multiplier"):
            out[f"prior.{i}.{name}"] = getattr(layer, name)
        out[f"prior.{i}.shift"] = np.array([layer.shift], np.int32)
    return out


def _prior(arrays: Mapping[str, Array]) -> Autoregressive:
    layers: list[Layer] = []
    while f"prior.{len(layers)}.weights" in arrays:
        name = f"prior.{len(layers)}."
        weights, bias, multiplier = (arrays[name + part] for part in ("weights", "bias", "multiplier"))
        layers.append(Layer(weights, bias, multiplier, int(arrays[name + "shift"][0])))
    frequencies = arrays["prior.frequencies"].astype(np.int64)
    offset = arrays["prior.offset"].astype(np.int32)
    tables = Tables(
        int(arrays["prior.bits"][0]),
        offset,
        np.zeros(len(offset), np.uint8),
        arrays["prior.size"].astype(np.int32),
        np.pad(np.cumsum(frequencies, 1), ((0, 0), (1, 0))).astype(np.uint32),
    )
    rows, columns, num_sides, mean = (int(value) for value in arrays["prior.form"])
    grid = (rows, columns) if columns > 1 else (rows,)
    taps = arrays["prior.taps"].astype(np.int32)
    return Autoregressive(tables, taps, arrays["prior.maps"], layers, grid, num_sides, bool(mean))


def planes_of(pixels: Array, peak: int) -> Array:
    """Return pixels [height, width, 1 or 3] as float32 [3, h, w] about 0, in 8-bit levels, padded to 8."""
    scaled = np.moveaxis(pixels, 2, 0).astype(np.float32) * np.float32(255) / np.float32(peak)
    planes = np.broadcast_to(scaled - np.float32(127.5), (3, *scaled.shape[1:]))
    missing = [(0, -side % CELL) for side in planes.shape[1:]]
    return np.pad(planes, ((0, 0), *missing), "edge")


def bands_of(pixels: Array, peak: int) -> Array:
    """Return the wavelet packet float32 [192, h, w], in 8-bit levels, of pixels [height, width, 1 or 3]."""
    return packet.analysis(planes_of(pixels, peak), LEVELS)


def pixels_of(planes: Array, height: int, width: int, channels: int, peak: int) -> Array:
    """Return the pixels [height, width, 1 or 3] of planes: the inverse of `planes_of`."""
    kept = planes[:, :height, :width]
    if channels == 1:
        kept = (kept[:1] + kept[1:2] + kept[2:]) / np.float32(3)
    scaled = (kept + np.float32(127.5)) * np.float32(peak) / np.float32(255)
    whole = np.rint(scaled).clip(0, peak).astype(np.uint8 if peak < 256 else np.uint16)
    return np.ascontiguousarray(np.moveaxis(whole, 0, 2))


class ImageTokenizer:
    """Pictures to ids [num_codebooks, positions] and back; a position is 8 x 8 pixels, row by row.

    Ids of `vq` and `bsq` are codes; those of the others are numbers, a codebook for each channel of the
    latent, 127 being zero. Alpha is left out. `meta` of the tokens holds the grid, the picture's dims and
    the rate, which `detokenize` reads. ModelNotFound where the weights are not installed.
    """

    signal = Image

    def __init__(self, name: str, stack: Stack | None = None) -> None:
        if name not in KINDS:
            raise OptionError(f"image tokenizers are {', '.join(KINDS)}, not {name!r}")
        self.name = name
        self.stack = stack or Stack.from_arrays(models.load(name, MODELS.get(name, "")))
        if self.stack.kind != name:
            raise ModelError(f"the weights are of {self.stack.kind}, not of {name}")

    @property
    def vocab_size(self) -> int:
        """Ids are below it."""
        return 1 << self.stack.id_bits if self.stack.is_binary else 2 * MOST_SYMBOL + 1

    @property
    def num_codebooks(self) -> int:
        """Rows of ids at the highest rate."""
        return len(self.stack.id_lengths(max(self.stack.rates)))

    def symbols(self, pixels: Array, peak: int, rate: int) -> Ints:
        """Return the symbols int32 [rows, h, w] of pixels [height, width, 1 or 3]."""
        return self.stack.quantize(self.stack.latent(bands_of(pixels, peak)), rate)

    def pixels(self, symbols: Ints, rate: int, dims: tuple[int, int, int, int]) -> Array:
        """Return the pixels of symbols; `dims` are height, width, 1 or 3 channels, and the peak."""
        bands = self.stack.bands(self.stack.dequantize(symbols, rate))
        return pixels_of(packet.synthesis(bands, LEVELS), *dims)

    def tokenize(self, signal: Image, quality: float = DEFAULT_QUALITY) -> Tokens:
        """Return the ids of a picture at a quality from 0 to 100."""
        if not 0 <= quality <= 100:
            raise OptionError(f"quality is 0 to 100, not {quality!r}")
        rate = self.stack.rate_of(quality)
        colors = signal.pixels[:, :, : 3 if signal.channels >= 3 else 1]
        symbols = self.symbols(colors, signal.peak, rate)
        flat = symbols.reshape(len(symbols), -1)
        if self.stack.is_binary:
            ends = np.cumsum(self.stack.id_lengths(rate))[:-1]
            ids = np.stack([pack(part) for part in np.split(flat, ends)])
        else:
            ids = flat.astype(np.int64) + MOST_SYMBOL
        meta = {
            "grid": list(symbols.shape[1:]),
            "dims": [signal.height, signal.width, colors.shape[2], signal.bit_depth],
            "rate": rate,
        }
        return Tokens(ids, self.vocab_size, meta)

    def detokenize(self, tokens: Tokens) -> Image:
        """Return the picture that tokens stand for.

        Raises ValueError for ids outside the vocabulary, and for tokens without the meta of `tokenize`.
        """
        try:
            grid = tuple(int(side) for side in tokens.meta["grid"])
            height, width, channels, bit_depth = (int(value) for value in tokens.meta["dims"])
            rate = int(tokens.meta["rate"])
        except (KeyError, TypeError, ValueError, OverflowError):
            raise ValueError("the tokens' meta lacks grid, dims or rate, which tokenize gave") from None
        if min(height, width) < 1 or not 1 <= bit_depth <= 16:
            raise ValueError("the tokens' dims are of no picture")
        if len(grid) != 2 or grid != (-(-height // CELL), -(-width // CELL)) or channels not in (1, 3):
            raise ValueError("the tokens' grid and dims do not go together")
        if tokens.vocab_size != self.vocab_size:
            raise ValueError(f"{self.name} has a vocabulary of {self.vocab_size}, not {tokens.vocab_size}")
        if tokens.ids.shape[1] != grid[0] * grid[1]:
            raise ValueError(f"a grid of {list(grid)} has {grid[0] * grid[1]} ids, not {tokens.ids.shape[1]}")
        self.stack.check_rate(rate)
        rows = self.stack.rows(rate)
        lengths = self.stack.id_lengths(rate)
        if len(tokens.ids) != len(lengths):
            raise ValueError(f"{self.name} has {len(lengths)} codebooks here, not {len(tokens.ids)}")
        if self.stack.is_binary:
            for row, length in zip(tokens.ids, lengths, strict=True):
                if row.size and int(row.max()) >> length:
                    raise ValueError(f"an id has more than {length} bits")
            flat = np.concatenate([unpack(*pair) for pair in zip(tokens.ids, lengths, strict=True)])
        else:
            flat = (tokens.ids - MOST_SYMBOL).astype(np.int32)
        dims = (height, width, channels, (1 << bit_depth) - 1)
        return Image(self.pixels(flat.reshape(rows, *grid), rate, dims), bit_depth)

    def latents(self, signal: Image) -> Array:
        """Return what the encoder gives before it is quantized: float32 [channels, h, w]."""
        colors = signal.pixels[:, :, : 3 if signal.channels >= 3 else 1]
        bands = bands_of(colors, signal.peak)
        return (self.stack.latent(bands) * np.float32(2.0**-LATENT_BITS)).astype(np.float32)


def with_stack(name: str, arrays: Mapping[str, Array]) -> ImageTokenizer:
    """Return the tokenizer of weights that are not the default's."""
    return ImageTokenizer(name, Stack.from_arrays(arrays))


def vae() -> ImageTokenizer:
    """`vae`: rounded means of a variational auto-encoder."""
    return ImageTokenizer("vae")


def wae() -> ImageTokenizer:
    """`wae`: rounded latents of a Wasserstein auto-encoder."""
    return ImageTokenizer("wae")


def vq() -> ImageTokenizer:
    """`vq`: ids of a codebook, and of another for what is left."""
    return ImageTokenizer("vq")


def bsq() -> ImageTokenizer:
    """`bsq`: signs of a latent on the sphere, each channel less what the signs before say of it."""
    return ImageTokenizer("bsq")


def walloc() -> ImageTokenizer:
    """`walloc`: companded coefficients of a linear map of the wavelet packet."""
    return ImageTokenizer("walloc")


__all__ = ["KINDS", "ImageTokenizer", "Stack", "with_stack"]
