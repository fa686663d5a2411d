"""`wave`: pictures by a lifting wavelet, an integer context network and adaptive tables; the same everywhere.

Three modes share the name: lossy (9/7, one step), lossless (5/3) and graphics (exact; palettes, repeats and
context mixing) for screens and charts. Beside the wavelet, alpha is exact and coded like graphics. Layer 0 is
the picture at 1/8, each further layer doubles it. Format: docs/format.md, "wave"; figures: its model card.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

from narrows import _core, models
from narrows.contracts import Chunk, ChunkSource, Header, Kind, Want, check_choice, check_range, crop, shrink
from narrows.errors import CorruptStream, OptionError
from narrows.limits import Limits
from narrows.signals import Array, Image

T = TypeVar("T")
R = TypeVar("R")

MODEL = "1f0049c4dc14564e"
STRIP_ROWS = 1024
_LOSSY, _LOSSLESS, _GRAPHICS = 0, 1, 2

# Quality to step in pixel levels, log2(step) linear between knots: the steps whose mean PSNR on photographs
# is that of JPEG 4:2:0 at the same quality. Frozen for version 1.
_KNOTS = ((0, 220), (12, 134), (22, 88), (38, 62), (58, 48), (76, 35), (88, 23), (94, 15), (99.9, 4))
_DEFAULT_QUALITY = 75.0
# Weight of a bit against squared error in squared steps, 1/4096.
_LAMBDA = 369
# tune=ms-ssim: steps grow with the root of the local deviation (strength 1/2, in 1/256), level 1's by 3/4
# octave besides; a step this much finer spends about the same bytes. Tuned on validation pictures.
_ACTIVITY_STRENGTH, _ACTIVITY_FINER, _ACTIVITY_STEP = 128, (3, 0), 0.75
# Above so many bits a pixel the lossless wavelet may be smaller, and is tried.
_TRY_EXACT_BPP = 5
_LEAST_STEP, _LARGEST_STEP = 64, 1 << 18  # 1/256 level


@dataclass(frozen=True)
class Options:
    """One of `quality` (0 to 100, 100 is lossless), `bpp`, `target_psnr` (dB) and `lossless` says how much to
    spend; without any, quality 75. `effort` 0 to 9 trades time for size; `tune` is `psnr` or `ms-ssim`.
    """

    quality: float | None = None
    bpp: float | None = None
    target_psnr: float | None = None
    lossless: bool = False
    effort: int = 5
    tune: str = "psnr"

    def __post_init__(self) -> None:
        for name, low, high in (("quality", 0, 100), ("bpp", 0.001, 1000), ("target_psnr", 10, 100)):
            if getattr(self, name) is not None:
                check_range(name, getattr(self, name), low, high)
        check_range("effort", self.effort, 0, 9)
        check_choice("tune", self.tune, ("psnr", "ms-ssim"))
        given = [name for name in ("quality", "bpp", "target_psnr") if getattr(self, name) is not None]
        given += ["lossless"] * bool(self.lossless)
        if len(given) > 1:
            raise OptionError(f"{' and '.join(given)} say the same thing twice: give one")

    @property
    def exact(self) -> bool:
        """Whether the picture comes back unchanged."""
        return bool(self.lossless) or (self.quality is not None and self.quality >= 100)


@dataclass(frozen=True)
class _Coded:
    """A picture's colors as one mode codes them: params of the header, and chunks."""

    params: bytes
    chunks: list[Chunk]

    @property
    def num_bytes(self) -> int:
        return 40 + len(self.params) + sum(len(chunk.payload) + 16 for chunk in self.chunks)


def step_of(quality: float) -> int:
    """The step of a quality below 100, in 1/256 of an 8-bit level."""
    for (low, coarse), (high, fine) in pairwise(_KNOTS):
        if quality <= high:
            share = (quality - low) / (high - low)
            return round(256 * 2 ** (math.log2(coarse) * (1 - share) + math.log2(fine) * share))
    return 256 * _KNOTS[-1][1]


class Wave:
    """The image codec. Weights are loaded once, when an instance is made."""

    name, version, signal, options = "wave", 1, Image, Options
    traits = frozenset({"lossless", "exact", "progressive"})

    def __init__(self) -> None:
        self._model = self._networks(bytes.fromhex(MODEL))

    def _networks(self, model: bytes) -> Any:
        arrays = models.load(self.name, model)
        sets = [
            {key.partition(".")[2]: array for key, array in arrays.items() if key.startswith(prefix)}
            for prefix in ("lossy.", "lossless.")
        ]
        return _core.WaveModel(*sets)

    def _model_of(self, header: Header) -> Any:
        """The networks that a header names: this version's, or others that are installed. ModelNotFound."""
        if len(header.model) != 8:
            raise CorruptStream("a wave stream names its model")
        return self._model if header.model.hex() == MODEL else self._networks(header.model)

    def encode(self, signal: Image, options: Options, *, threads: int = 1) -> tuple[Header, Iterator[Chunk]]:
        """The header and the chunks, coarsest first."""
        signal = replace(signal, pixels=np.ascontiguousarray(signal.pixels))
        coded = self._graphics(signal, options, threads)
        wavelet = self._wavelet(signal, options, threads)
        if coded is None or wavelet.num_bytes < coded.num_bytes:
            coded = wavelet
        mode = coded.params[0]
        model = b"" if mode == _GRAPHICS else bytes.fromhex(MODEL)
        return Header.of(self, signal, coded.params, model, lossless=mode != _LOSSY), iter(coded.chunks)

    def decode(
        self, header: Header, chunks: ChunkSource, want: Want, *, threads: int = 1, limits: Limits = Limits()
    ) -> Image:
        """The picture, or the part wanted; of a scaled one only the layers needed are read."""
        limits.check("max_pixels", header.width * header.height)
        if not header.params or header.params[0] > _GRAPHICS:
            raise CorruptStream("wave has modes 0 to 2")
        if header.params[0] == _GRAPHICS and len(header.params) > 1:
            raise CorruptStream("the graphics mode has no parameters")
        if header.params[0] == _GRAPHICS:
            if header.model:
                raise CorruptStream("graphics mode has no model")
            pixels = self._decode_graphics(header, chunks, want.shift, threads)
        else:
            pixels = self._decode_layers(header, chunks, want.shift, threads)
        image: Image = header.signal(pixels)
        return (
            crop(image, want)
            if want.start is not None or want.stop is not None or want.region is not None
            else image
        )

    # ---- encoding

    def _graphics(self, signal: Image, options: Options, threads: int) -> _Coded | None:
        """The exact graphics mode, where a quick look says that it may pay."""
        # Beside a lossy wavelet it pays only for what is plainly drawn. Photographs too are 3 to 4 % smaller
        # in it than by the lossless wavelet, at many times the time and without layers: for those who ask
        # for effort.
        worthwhile = _core.GRAPHICS_WORTHWHILE * (1 if options.exact else 2)
        tried = options.effort >= (7 if options.exact else 9)
        if not tried and _core.graphics_score(signal.pixels, signal.bit_depth) < worthwhile:
            return None
        strips = _graphics_strips(signal.pixels, signal.bit_depth, threads)
        return _Coded(bytes([_GRAPHICS]), [Chunk(payload, first, count) for first, count, payload in strips])

    def _wavelet(self, signal: Image, options: Options, threads: int) -> _Coded:
        """The colors by wavelet as the options say, and exact alpha behind the first chunk."""
        colors, alpha = _split(signal.pixels)
        parts: list[Chunk] = []
        if alpha is not None:
            strips = _graphics_strips(alpha, signal.bit_depth, threads)
            parts = [Chunk(payload, first, count, 0, Kind.PART) for first, count, payload in strips]
        coded: _Coded | None
        if options.exact:
            coded = self._lossless(colors, signal.bit_depth, threads)
        else:
            coded = self._lossy(
                colors, signal.bit_depth, options, threads, sum(len(part.payload) + 16 for part in parts)
            )
            # High rates may cost more than the picture itself, and 13 bits do not reach every PSNR.
            if coded is None or coded.num_bytes * 8 > _TRY_EXACT_BPP * colors[:, :, 0].size:
                exact = self._lossless(colors, signal.bit_depth, threads)
                coded = exact if coded is None or exact.num_bytes <= coded.num_bytes else coded
        return _Coded(coded.params, [coded.chunks[0], *parts, *coded.chunks[1:]])

    def _lossless(self, colors: Array, bit_depth: int, threads: int) -> _Coded:
        params, chunks = _core.WaveEncoder(self._model, colors, bit_depth, True).encode(0, 0, threads)
        return _Coded(params, _as_chunks(chunks))

    def _lossy(
        self, colors: Array, bit_depth: int, options: Options, threads: int, alpha_bytes: int
    ) -> _Coded | None:
        """None where no step reaches the PSNR asked for."""
        encoder = _core.WaveEncoder(self._model, colors, bit_depth, False)
        lambda_ = _LAMBDA if options.effort >= 2 else 0
        tuned = options.tune == "ms-ssim"
        offsets = _core.wave_activity_offsets(colors, bit_depth, _ACTIVITY_STRENGTH) if tuned else []
        finer = _ACTIVITY_FINER if tuned else (0, 0)

        def at(step: int) -> _Coded:
            params, chunks = encoder.encode(step, lambda_, threads, offsets, finer)
            return _Coded(params, _as_chunks(chunks))

        if options.bpp is not None:
            allowed = options.bpp * colors.shape[0] * colors.shape[1] / 8 - alpha_bytes
            fit = _search(at, lambda coded: allowed - coded.num_bytes, allowed * 0.005)
            return fit or at(_LARGEST_STEP)
        if options.target_psnr is not None:
            target, peak = options.target_psnr, (1 << bit_depth) - 1

            def excess(coded: _Coded) -> float:
                header = Header.of(self, Image(colors, bit_depth), coded.params, bytes.fromhex(MODEL))
                decoded = self._decode_layers(header, _Given(coded.chunks), 0, threads)
                return _psnr(colors, decoded, peak) - target

            return _search(at, excess, 0.02, falling=True)
        step = step_of(_DEFAULT_QUALITY if options.quality is None else options.quality)
        return at(round(step * _ACTIVITY_STEP) if tuned else step)

    # ---- decoding

    def _decode_layers(self, header: Header, chunks: ChunkSource, shift: int, threads: int) -> Array:
        model = self._model_of(header)
        channels = header.channels
        num_colors = 3 if channels >= 3 else 1
        scale = min(shift, _core.WaveDecoder.levels(header.params))
        decoder = _core.WaveDecoder.create(
            model,
            header.params,
            header.width,
            header.height,
            num_colors,
            header.bit_depth,
            scale,
            chunks.partial,
        )
        pixels = np.zeros(
            (decoder.height, decoder.width, channels), np.uint8 if header.bit_depth <= 8 else np.uint16
        )
        decoder.set_output(pixels)
        alpha = _Strips(header, 1) if channels in (2, 4) else None
        pending: list[tuple[int, bytes]] = []
        layer = -1
        for chunk in chunks.layers(decoder.last_layer):
            if chunk.layer == 0 and chunk.kind == Kind.PART:
                if alpha is None:
                    raise CorruptStream("an alpha part in a picture without alpha")
                alpha.add([chunk])
                continue
            rows = header.height if chunk.layer == 0 else min(STRIP_ROWS, header.height - chunk.first)
            if (chunk.kind == Kind.DATA) != (chunk.layer == 0) or chunk.count != rows:
                raise CorruptStream(
                    "wave has one DATA, layer 0, of all rows, and PARTs of layers 1 to 3 by strips"
                )
            if pending and (chunk.layer != layer or len(pending) >= threads):
                decoder.add(layer, pending, threads)
                pending = []
            layer = chunk.layer
            pending.append((chunk.first, chunk.payload))
        if pending:
            decoder.add(layer, pending, threads)
        decoder.finish()
        pixels = shrink(pixels, shift - scale)
        if alpha is not None:
            pixels[:, :, -1:] = shrink(alpha.finish(chunks.partial), shift)
        return pixels

    def _decode_graphics(self, header: Header, chunks: ChunkSource, shift: int, threads: int) -> Array:
        reader = _Strips(header, header.channels)
        pending: list[Chunk] = []
        for chunk in chunks:
            if chunk.kind != Kind.DATA or chunk.layer:
                raise CorruptStream("graphics has only DATA chunks of layer 0")
            pending.append(chunk)
            if len(pending) >= threads:
                reader.add(pending)
                pending = []
        reader.add(pending)
        return shrink(reader.finish(chunks.partial), shift)


class _Strips:
    """Collects strips of exactly coded rows: a picture in graphics mode, or an alpha plane."""

    def __init__(self, header: Header, channels: int) -> None:
        self._bit_depth = header.bit_depth
        dtype = np.uint8 if header.bit_depth <= 8 else np.uint16
        # Memory is taken as strips are decoded: zeros are not touched before.
        self._pixels = np.zeros((header.height, header.width, channels), dtype)
        self._has_alpha = header.channels in (2, 4)
        self._end = 0
        self._missing: list[tuple[int, int]] = []

    def add(self, chunks: list[Chunk]) -> None:
        """Decode strips that follow each other, a thread each."""
        for chunk in chunks:
            count = min(STRIP_ROWS, len(self._pixels) - chunk.first)
            if chunk.first % STRIP_ROWS or chunk.first < self._end or count <= 0 or chunk.count != count:
                raise CorruptStream(
                    f"rows {chunk.first} to {chunk.first + chunk.count} are not the strip that comes next"
                )
            if chunk.first != self._end:
                self._missing.append((self._end, chunk.first))
            self._end = chunk.first + count
        _each(self._decode, chunks, len(chunks))

    def _decode(self, chunk: Chunk) -> None:
        rows = self._pixels[chunk.first : chunk.first + chunk.count]
        _core.graphics_decode(chunk.payload, rows, self._bit_depth)

    def finish(self, partial: bool) -> Array:
        """The rows [height, width, channels]; CorruptStream for holes, unless `partial`."""
        if self._end < len(self._pixels):
            self._missing.append((self._end, len(self._pixels)))
        if self._missing and not partial:
            raise CorruptStream("strips of the picture are missing")
        if self._has_alpha:  # what is missing of a damaged picture is black, and opaque
            for first, end in self._missing:
                self._pixels[first:end, :, -1] = (1 << self._bit_depth) - 1
        return self._pixels


class _Given:
    """Chunks in memory as a ChunkSource, for decoding what was just encoded."""

    partial = False

    def __init__(self, chunks: list[Chunk]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[Chunk]:
        return iter(self._chunks)

    def layers(self, highest: int) -> Iterator[Chunk]:
        """Chunks up to a layer."""
        return (chunk for chunk in self._chunks if chunk.layer <= highest)

    def select(self, keep: Callable[[Chunk], bool]) -> Iterator[Chunk]:
        """Chunks that `keep` wants."""
        return filter(keep, self._chunks)

    def covering(self, want: Want) -> Iterator[Chunk]:
        """All: the caller crops."""
        return iter(self._chunks)


def _split(pixels: Array) -> tuple[Array, Array | None]:
    """Colors [height, width, 1 or 3], and the alpha plane [height, width, 1] or None."""
    if pixels.shape[2] in (1, 3):
        return np.ascontiguousarray(pixels), None
    return np.ascontiguousarray(pixels[:, :, :-1]), np.ascontiguousarray(pixels[:, :, -1:])


def _each(job: Callable[[T], R], items: Iterable[T], threads: int) -> list[R]:
    """`job` of each item, in order, on up to `threads` threads."""
    if threads <= 1:
        return [job(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(job, items))


def _graphics_strips(pixels: Array, bit_depth: int, threads: int) -> list[tuple[int, int, bytes]]:
    """First row, number of rows and payload of each strip."""

    def code(first: int) -> tuple[int, int, bytes]:
        strip = np.ascontiguousarray(pixels[first : first + STRIP_ROWS])
        return first, len(strip), _core.graphics_encode(strip, bit_depth)

    return _each(code, range(0, len(pixels), STRIP_ROWS), threads)


def _as_chunks(chunks: list[tuple[int, int, int, bytes]]) -> list[Chunk]:
    return [
        Chunk(payload, first, count, layer, Kind.PART if layer else Kind.DATA)
        for layer, first, count, payload in chunks
    ]


def _psnr(a: Array, b: Array, peak: int) -> float:
    total = 0
    for first in range(0, len(a), 256):
        difference = a[first : first + 256].astype(np.int64) - b[first : first + 256]
        total += int(np.sum(difference * difference))
    return math.inf if total == 0 else 10 * math.log10(peak * peak * a.size / total)


def _search(
    at: Callable[[int], _Coded], margin: Callable[[_Coded], float], near: float, *, falling: bool = False
) -> _Coded | None:
    """Bisect log2 of the step for the smallest margin of at least 0: one that grows with the step, or falls.

    Stops early at a margin below `near`. None where no step tried has a margin.
    """
    low, high = math.log2(_LEAST_STEP), math.log2(_LARGEST_STEP)
    best: _Coded | None = None
    for _ in range(14):
        middle = (low + high) / 2
        coded = at(round(2**middle))
        spare = margin(coded)
        if spare >= 0:
            best = coded
            if spare <= near:
                break
        low, high = (low, middle) if (spare >= 0) != falling else (middle, high)
    return best
