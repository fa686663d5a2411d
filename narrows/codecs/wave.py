"""`wave`: pictures by a lifting wavelet, an integer context network and adaptive tables; exact on every machine.

Three modes share the name: lossy (9/7, one step), lossless (5/3) and graphics (palette or prediction by context
mixing, exact) for screens and charts. Alpha is always exact and coded like graphics. Layer 0 is the picture at
1/8, each further layer doubles it. Format: docs/format.md, "wave"; design and figures: its model card.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from narrows import _core, models
from narrows.contracts import Chunk, ChunkSource, Header, Kind, Want, check_choice, check_range, crop, shrink
from narrows.errors import CorruptStream, OptionError
from narrows.limits import Limits
from narrows.signals import Array, Image

MODEL = "0000000000000000"
STRIP_ROWS = 1024
GRAPHICS_ROWS = 1024
_LOSSY, _LOSSLESS, _GRAPHICS = 0, 1, 2

# Quality to step in pixel levels, log2(step) linear between knots: the steps whose mean PSNR on photographs is
# that of JPEG 4:2:0 at the same quality. Frozen for version 1.
_KNOTS = ((0, 220), (12, 134), (22, 88), (38, 62), (58, 48), (76, 35), (88, 23), (94, 15), (99.9, 4))
_DEFAULT_QUALITY = 75.0
# Weight of a bit against squared error in squared steps, 1/4096.
_LAMBDA = 369
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
        if len(given) + bool(self.lossless) > 1:
            raise OptionError(f"{' and '.join([*given, *['lossless'] * bool(self.lossless)])} say the same thing twice: give one")

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
        return len(self.params) + sum(len(chunk.payload) + 16 for chunk in self.chunks)


def step_of(quality: float) -> int:
    """The step of a quality below 100, in 1/256 of an 8-bit level."""
    for (low, coarse), (high, fine) in zip(_KNOTS, _KNOTS[1:], strict=False):
        if quality <= high:
            share = (quality - low) / (high - low)
            return round(256 * 2 ** (math.log2(coarse) * (1 - share) + math.log2(fine) * share))
    return 256 * _KNOTS[-1][1]


class Wave:
    """The image codec. Weights are loaded once, when an instance is made."""

    name, version, signal, options = "wave", 1, Image, Options
    traits = frozenset({"lossless", "exact", "progressive"})

    def __init__(self) -> None:
        arrays = models.load(self.name, MODEL)
        sets = [{key.partition(".")[2]: array for key, array in arrays.items() if key.startswith(prefix)} for prefix in ("lossy.", "lossless.")]
        self._model = _core.WaveModel(*sets)

    def encode(self, signal: Image, options: Options, *, threads: int = 1) -> tuple[Header, Iterator[Chunk]]:
        """The header and the chunks, coarsest first."""
        colors, alpha = _split(signal.pixels)
        coded = self._graphics(signal, colors, options, threads)
        exact = coded is not None or options.exact
        if options.exact:
            plain = self._lossless(colors, signal.bit_depth, threads)
            coded = plain if coded is None or plain.num_bytes <= coded.num_bytes else coded
        else:
            lossy = self._lossy(colors, signal, options, threads)
            if coded is None or lossy.num_bytes < coded.num_bytes:
                coded, exact = lossy, False
        chunks = coded.chunks
        if alpha is not None:
            chunks = [chunks[0], *_alpha_chunks(alpha, signal.bit_depth, threads), *chunks[1:]]
        header = Header.of(self, signal, coded.params, b"" if coded.params[0] == _GRAPHICS else bytes.fromhex(MODEL), lossless=exact)
        return header, iter(chunks)

    def decode(self, header: Header, chunks: ChunkSource, want: Want, *, threads: int = 1, limits: Limits = Limits()) -> Image:
        """The picture, or the part wanted; of a scaled one only the layers needed are read."""
        limits.check("max_pixels", header.width * header.height)
        if not header.params or header.params[0] > _GRAPHICS:
            raise CorruptStream("wave has modes 0 to 2")
        if header.params[0] == _GRAPHICS:
            pixels = self._decode_graphics(header, chunks, want.shift, threads)
        else:
            pixels = self._decode_layers(header, chunks, want.shift, threads)
        image: Image = header.signal(pixels)
        return crop(image, want) if want.start is not None or want.stop is not None or want.region is not None else image

    # ---- encoding

    def _lossless(self, colors: Array, bit_depth: int, threads: int) -> _Coded:
        params, chunks = _core.WaveEncoder(self._model, colors, bit_depth, True).encode(0, 0, threads)
        return _Coded(params, _as_chunks(chunks))

    def _graphics(self, signal: Image, colors: Array, options: Options, threads: int) -> _Coded | None:
        """The exact graphics mode, where a quick look says that it may pay."""
        if options.effort < 3 or not (options.effort >= 8 or _core.graphics_promising(colors, signal.bit_depth)):
            return None
        return _Coded(bytes([_GRAPHICS]), [
            Chunk(payload, first, len(strip))
            for first, strip, payload in _graphics_strips(colors, signal.bit_depth, threads)
        ])

    def _lossy(self, colors: Array, signal: Image, options: Options, threads: int) -> _Coded:
        encoder = _core.WaveEncoder(self._model, colors, signal.bit_depth, False)
        lambda_ = _LAMBDA if options.effort >= 2 else 0

        def at(step: int) -> _Coded:
            params, chunks = encoder.encode(step, lambda_, threads)
            return _Coded(params, _as_chunks(chunks))

        if options.bpp is not None:
            allowed = options.bpp * signal.width * signal.height / 8
            return _search(at, lambda coded: coded.num_bytes <= allowed, lambda coded: coded.num_bytes >= allowed * 0.995)
        if options.target_psnr is not None:
            target = options.target_psnr
            quality = {}

            def psnr(coded: _Coded) -> float:
                if id(coded) not in quality:
                    header = Header.of(self, Image(colors, signal.bit_depth), coded.params, b"")
                    decoded = self._decode_layers(header, _Given(coded.chunks), 0, threads)
                    quality[id(coded)] = _psnr(colors, decoded, (1 << signal.bit_depth) - 1)
                return quality[id(coded)]

            return _search(at, lambda coded: psnr(coded) < target, lambda coded: psnr(coded) <= target + 0.02, over=True)
        return at(step_of(_DEFAULT_QUALITY if options.quality is None else options.quality))

    # ---- decoding

    def _decode_layers(self, header: Header, chunks: ChunkSource, shift: int, threads: int) -> Array:
        channels = header.channels
        num_colors = 3 if channels >= 3 else 1
        scale = min(shift, _core.WaveDecoder.levels(header.params))
        decoder = _core.WaveDecoder.create(self._model, header.params, header.width, header.height, num_colors, header.bit_depth, scale, chunks.partial)
        pixels = np.zeros((decoder.height, decoder.width, channels), np.uint8 if header.bit_depth <= 8 else np.uint16)
        decoder.set_output(pixels)
        alpha = _AlphaReader(header, shift) if channels in (2, 4) else None
        pending: list[tuple[int, bytes]] = []
        layer = -1
        for chunk in chunks.layers(decoder.last_layer):
            if chunk.layer == 0 and chunk.kind == Kind.PART:
                if alpha is None:
                    raise CorruptStream("an alpha part in a picture without alpha")
                alpha.add(chunk)
                continue
            if (chunk.kind == Kind.DATA) != (chunk.layer == 0):
                raise CorruptStream("wave has one DATA, layer 0, and PARTs of layers 1 to 3")
            if pending and (chunk.layer != layer or len(pending) >= threads):
                decoder.add(layer, pending, threads)
                pending = []
            layer = chunk.layer
            pending.append((chunk.first, chunk.payload))
        if pending:
            decoder.add(layer, pending, threads)
        decoder.finish()
        if alpha is not None:
            alpha.finish(chunks.partial)
        if shift > scale:
            pixels = shrink(pixels, shift - scale)
        if alpha is not None:
            pixels[:, :, -1] = alpha.plane[: pixels.shape[0], : pixels.shape[1]]
        return pixels

    def _decode_graphics(self, header: Header, chunks: ChunkSource, shift: int, threads: int) -> Array:
        num_colors = 3 if header.channels >= 3 else 1
        dtype = np.uint8 if header.bit_depth <= 8 else np.uint16
        pixels = np.zeros((header.height, header.width, header.channels), dtype)
        alpha = _AlphaReader(header, 0) if header.channels in (2, 4) else None
        expected = 0
        for chunk in chunks:
            if chunk.kind == Kind.PART and alpha is not None:
                alpha.add(chunk)
                continue
            rows = min(GRAPHICS_ROWS, header.height - chunk.first)
            if chunk.kind != Kind.DATA or chunk.first % GRAPHICS_ROWS or chunk.count != rows or rows <= 0:
                raise CorruptStream("a graphics chunk is not the strip that comes next")
            if chunk.first != expected and not (chunks.partial and chunk.first > expected):
                raise CorruptStream("a graphics chunk is not the strip that comes next")
            strip = _core.graphics_decode(chunk.payload, header.width, rows, num_colors, header.bit_depth)
            pixels[chunk.first : chunk.first + rows, :, :num_colors] = strip
            expected = chunk.first + rows
        if expected < header.height and not chunks.partial:
            raise CorruptStream("strips of the picture are missing")
        if alpha is not None:
            alpha.finish(chunks.partial)
            pixels[:, :, -1] = alpha.plane
        return shrink(pixels, shift)


class _AlphaReader:
    """Collects the exact alpha plane from its parts."""

    def __init__(self, header: Header, shift: int) -> None:
        self._header, self._shift = header, shift
        dtype = np.uint8 if header.bit_depth <= 8 else np.uint16
        self._plane = np.full((header.height, header.width, 1), (1 << header.bit_depth) - 1, dtype)
        self._expected = 0

    def add(self, chunk: Chunk) -> None:
        """Decode one strip."""
        rows = min(GRAPHICS_ROWS, self._header.height - chunk.first)
        if chunk.first < self._expected or chunk.first % GRAPHICS_ROWS or rows <= 0 or chunk.count != rows:
            raise CorruptStream("an alpha part is not the strip that comes next")
        strip = _core.graphics_decode(chunk.payload, self._header.width, rows, 1, self._header.bit_depth)
        self._plane[chunk.first : chunk.first + rows] = strip
        self._expected = chunk.first + rows

    def finish(self, partial: bool) -> None:
        """Refuse a plane with holes, unless `partial`: those are opaque."""
        if self._expected < self._header.height and not partial:
            raise CorruptStream("parts of the alpha plane are missing")

    @property
    def plane(self) -> Array:
        return shrink(self._plane, self._shift)[:, :, 0]


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


def _graphics_strips(pixels: Array, bit_depth: int, threads: int) -> Iterator[tuple[int, Array, bytes]]:
    from concurrent.futures import ThreadPoolExecutor

    firsts = range(0, pixels.shape[0], GRAPHICS_ROWS)
    strips = [pixels[first : first + GRAPHICS_ROWS] for first in firsts]
    if threads <= 1 or len(strips) == 1:
        payloads = [_core.graphics_encode(strip, bit_depth) for strip in strips]
    else:
        with ThreadPoolExecutor(threads) as pool:
            payloads = list(pool.map(lambda strip: _core.graphics_encode(strip, bit_depth), strips))
    return zip(firsts, strips, payloads, strict=True)


def _alpha_chunks(alpha: Array, bit_depth: int, threads: int) -> list[Chunk]:
    return [Chunk(payload, first, len(strip), 0, Kind.PART) for first, strip, payload in _graphics_strips(alpha, bit_depth, threads)]


def _as_chunks(chunks: list[tuple[int, int, int, bytes]]) -> list[Chunk]:
    return [Chunk(payload, first, count, layer, Kind.PART if layer else Kind.DATA) for layer, first, count, payload in chunks]


def _psnr(a: Array, b: Array, peak: int) -> float:
    total = 0.0
    for first in range(0, a.shape[0], 256):
        difference = a[first : first + 256].astype(np.int64) - b[first : first + 256]
        total += float(np.sum(difference * difference))
    return math.inf if total == 0 else 10 * math.log10(peak * peak * a.size / total)


def _search(at: Callable[[int], _Coded], coarse: Callable[[_Coded], bool], near: Callable[[_Coded], bool], *, over: bool = False) -> _Coded:
    """Bisect log2(step). `coarse(coded)` is true from some step upwards; returns the finest coarse result, or with
    `over` the coarsest that is not; stops early at one that is `near` the border."""
    low, high = math.log2(_LEAST_STEP), math.log2(_LARGEST_STEP)
    best: Any = None
    for _ in range(14):
        middle = (low + high) / 2
        coded = at(round(2**middle))
        is_coarse = coarse(coded)
        if is_coarse != over:
            best = coded
            if near(coded):
                break
        low, high = (low, middle) if is_coarse else (middle, high)
    return best if best is not None else at(round(2 ** (low if over else high)))
