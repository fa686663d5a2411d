"""Signals that every codec of a type must survive: edges first, then something ordinary."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from narrows.signals import Audio, Blob, Formulas, Image, Signal, Tokens, Vectors, Video


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def _noise(shape: tuple[int, ...], peak: int = 255, seed: int = 1) -> Any:
    return _rng(seed).integers(0, peak + 1, shape).astype(np.uint8 if peak < 256 else np.uint16)


def _picture(height: int, width: int, channels: int, peak: int = 255) -> Any:
    """Waves, an edge and a little grain: what a photograph does."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [
        0.5 + 0.25 * np.sin(x / (5 + c)) + 0.2 * np.cos(y / (7 - c)) + 0.1 * (x + y > width)
        for c in range(channels)
    ]
    grain = _rng(2).normal(0, 0.01, (height, width, channels))
    values = (np.stack(planes, axis=2) + grain).clip(0, 1) * peak
    return values.astype(np.uint8 if peak < 256 else np.uint16)


def _checkerboard(height: int, width: int, channels: int, peak: int = 255) -> Any:
    y, x = np.mgrid[0:height, 0:width]
    board = np.repeat(((x + y) % 2 * peak)[:, :, np.newaxis], channels, axis=2)
    return board.astype(np.uint8 if peak < 256 else np.uint16)


def _chart() -> Any:
    """Few colors, hard edges, large flat areas."""
    pixels = np.full((40, 60, 3), 255, np.uint8)
    for i, color in enumerate([(200, 30, 30), (30, 30, 200), (20, 160, 20)]):
        pixels[35 - 9 * i : 36, 8 + 16 * i : 18 + 16 * i] = color
    pixels[36:37, 4:] = 0
    return pixels


def _images() -> dict[str, Image]:
    hidden = _picture(20, 31, 4)
    hidden[:10, :, 3] = 0
    hidden[10:, :, 3] = 255
    pixels = {
        "1x1": _noise((1, 1, 3)),
        "1x1-grey": _noise((1, 1, 1)),
        "one-row": _noise((1, 7, 3)),
        "one-column": _noise((9, 1, 3)),
        "two-columns": _picture(33, 2, 3),
        "odd": _picture(13, 11, 3),
        "grey": _picture(17, 30, 1),
        "grey-alpha": _picture(18, 21, 2),
        "alpha": _picture(23, 40, 4),
        "hidden-color": hidden,
        "black": np.zeros((19, 24, 3), np.uint8),
        "white": np.full((24, 19, 3), 255, np.uint8),
        "noise": _noise((32, 33, 3)),
        "checkerboard": _checkerboard(31, 34, 3),
        "chart": _chart(),
        "picture": _picture(48, 64, 3),
        "16-bit": _picture(21, 22, 3, 65_535),
        "16-bit-noise": _noise((16, 19, 4), 65_535),
        "16-bit-checkerboard": _checkerboard(20, 17, 1, 65_535),
    }
    images = {name: Image(values) for name, values in pixels.items()}
    images["10-bit"] = Image(_picture(15, 20, 3, 1023), 10)
    images["1-bit"] = Image(_noise((14, 15, 1), 1), 1)
    images["linear"] = Image(_picture(12, 12, 3), color="linear")
    return images


def _blobs() -> dict[str, Blob]:
    text = b"It was the best of times, it was the worst of times, it was the age of wisdom. "
    return {
        "empty": Blob(b""),
        "one-byte": Blob(b"\0"),
        "two-bytes": Blob(b"\xff\0"),
        "every-byte": Blob(bytes(range(256))),
        "random": Blob(_rng(3).bytes(5_000)),
        "zeros": Blob(bytes(20_000)),
        "text": Blob(text * 40),
        "text-then-random": Blob(text * 20 + _rng(4).bytes(3_000) + text),
    }


def _audio() -> dict[str, Audio]:
    time = np.arange(8_000) / 16_000
    chirp = (0.5 * np.sin(2 * np.pi * (200 + 1_500 * time) * time)).astype(np.float32)
    loud = np.clip(4 * chirp, -1, 1)
    noise = _rng(5).uniform(-1, 1, (4_000, 2)).astype(np.float32)
    return {
        "empty": Audio(np.zeros((0, 1), np.float32), 16_000),
        "one-sample": Audio(np.full((1, 1), 0.5, np.float32), 16_000),
        "silence": Audio(np.zeros((8_000, 1), np.float32), 16_000),
        "constant": Audio(np.full((5_000, 1), -1, np.float32), 16_000),
        "chirp": Audio(chirp, 16_000),
        "clipped": Audio(loud, 48_000),
        "stereo-noise": Audio(noise, 44_100),
        "int16": Audio((chirp * 32_767).astype(np.int16), 24_000),
    }


def _tokens() -> dict[str, Tokens]:
    return {
        "empty": Tokens(np.zeros((1, 0), np.int64), 10),
        "one": Tokens(np.zeros((1, 1), np.int64), 1),
        "several": Tokens(_rng(6).integers(0, 1024, (8, 50)), 1024),
    }


def _vectors() -> dict[str, Vectors]:
    return {
        "none": Vectors(np.zeros((0, 8), np.float32)),
        "one": Vectors(np.ones((1, 1), np.float32)),
        "several": Vectors(_rng(7).normal(0, 1, (60, 32)).astype(np.float32)),
    }


def _formulas() -> dict[str, Formulas]:
    column = [("Sheet1", f"B{row}", f"=A{row}*(1+$C$1)") for row in range(1, 50)]
    return {
        "none": Formulas(()),
        "one": Formulas((("S", "A1", "=1"),)),
        "column": Formulas(tuple(column)),
    }


def _videos() -> dict[str, Video]:
    return {"moving": Video([np.roll(_picture(24, 32, 3), shift, axis=1) for shift in range(5)], 25)}


_MAKERS: dict[type, Any] = {
    Image: _images,
    Blob: _blobs,
    Audio: _audio,
    Tokens: _tokens,
    Vectors: _vectors,
    Formulas: _formulas,
    Video: _videos,
}


@lru_cache
def signals_for(kind: type) -> dict[str, Signal]:
    """Named signals of a type. Arrays are read-only: a codec that writes to its input fails at once."""
    signals: dict[str, Signal] = _MAKERS[kind]()
    for signal in signals.values():
        for name in ("pixels", "samples", "ids", "values"):
            if hasattr(signal, name):
                getattr(signal, name).flags.writeable = False
    return signals


def strategy_for(kind: type) -> st.SearchStrategy[Any] | None:
    """Small random signals of a type, or None where there is no strategy."""
    if kind is Blob:
        pieces = st.one_of(
            st.binary(max_size=300), st.builds(lambda b, n: b * n, st.binary(max_size=9), st.integers(0, 200))
        )
        return st.builds(lambda parts: Blob(b"".join(parts)), st.lists(pieces, max_size=4))
    if kind is Image:
        shapes = st.tuples(st.integers(1, 24), st.integers(1, 24), st.integers(1, 4))
        dtypes = st.sampled_from([np.uint8, np.uint16])
        return st.builds(Image, st.tuples(dtypes, shapes).flatmap(lambda p: npst.arrays(p[0], p[1])))
    return None
