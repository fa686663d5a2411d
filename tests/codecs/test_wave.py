"""`wave` decodes as docs/format.md says: to what a decoder written from it gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from twins.wave import Decoder

import narrows
from narrows import container, files, models


def _photograph(samples, height: int, width: int) -> np.ndarray:
    """A part of a photograph with grain, so that no pixel repeats and the graphics mode is not tried."""
    pixels = files.read(samples / "exif6_icc_rocket.jpg").pixels
    part = pixels[np.resize(np.arange(150, 250), height), 100 : 100 + width].astype(int)
    grain = np.random.default_rng(0).integers(-9, 10, part.shape)
    return np.clip(part + grain, 0, 255).astype(np.uint8)


def _as_specified(stream: bytes) -> np.ndarray:
    reader = container.Reader(stream)
    decoder = Decoder(reader.header, models.load("wave", reader.header.model))
    for chunk in reader.source():
        decoder.add(chunk)
    return decoder.pixels()


@pytest.mark.parametrize(
    ("height", "width", "options"),
    [
        (29, 37, {"quality": 50}),
        (29, 37, {"lossless": True}),
        (5, 61, {"quality": 90}),
        (47, 33, {"lossless": True}),
        (70, 66, {"quality": 60, "tune": "ms-ssim"}),
        (1027, 3, {"quality": 80}),
        (1029, 2, {"lossless": True}),
    ],
)
def test_colors_decode_as_specified(samples, height: int, width: int, options: dict[str, Any]) -> None:
    stream = narrows.encode(_photograph(samples, height, width), "wave", **options)
    assert narrows.info(stream).params_bytes > 1, "the graphics mode was chosen"
    np.testing.assert_array_equal(narrows.decode(stream).pixels, _as_specified(stream))


@pytest.mark.parametrize("bit_depth", [7, 12, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_depth_decodes_as_specified(samples, bit_depth: int, channels: int) -> None:
    pixels = _photograph(samples, 24, 21)[:, :, :channels].astype(np.uint16) * 257 >> 16 - bit_depth
    image = narrows.Image(pixels if bit_depth > 8 else pixels.astype(np.uint8), bit_depth=bit_depth)
    stream = narrows.encode(image, "wave", quality=85)
    assert narrows.info(stream).params_bytes > 1, "the graphics mode was chosen"
    np.testing.assert_array_equal(narrows.decode(stream).pixels, _as_specified(stream))


def test_linear_prediction_of_bands_decodes_as_specified(monkeypatch) -> None:
    y, x = np.mgrid[:56, :72]
    grain = np.random.default_rng(0).integers(-60, 61, x.shape)
    red = 128 + 50 * np.sin(x / 2.1 + y / 7) + grain
    pixels = np.stack([red, red - grain / 2, red - 1.7 * grain], axis=2).clip(0, 255).astype(np.uint8)
    stream = narrows.encode(pixels, "wave", lossless=True)
    weights: list[int] = []
    beyond = Decoder._beyond

    def noted(self: Decoder, source: Any, level: int, channel: int) -> int:
        value = beyond(self, source, level, channel)
        weights.extend([value] * (level == 0))
        return value

    monkeypatch.setattr(Decoder, "_beyond", noted)
    np.testing.assert_array_equal(narrows.decode(stream).pixels, _as_specified(stream))
    assert any(weights), "no band was predicted"
