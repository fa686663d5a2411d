"""Streams of `tokens/NAME` decode by docs/format.md's text to what the codec gives, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from twins import tokens

import narrows
from narrows import models
from narrows.container import Reader
from narrows.container.forms import varint
from narrows.contracts import Kind
from narrows.signals import Image
from narrows.tokenizers.image import MODELS, ImageTokenizer


def picture(height: int, width: int, channels: int, bit_depth: int) -> Image:
    """Slopes, an edge and noise that reaches the ends of the range, so that every clamp and clip is met."""
    rng = np.random.default_rng(height)
    y, x = np.mgrid[0:height, 0:width]
    planes = [np.sin(x / (3 + c)) + np.cos(y / (9 - c)) + (x > y) for c in range(channels)]
    values = np.stack(planes, 2) / 3 + 0.3 * rng.normal(size=(height, width, channels))
    peak = (1 << bit_depth) - 1
    dtype = np.uint8 if bit_depth <= 8 else np.uint16
    return Image((values.clip(0, 1) * peak).astype(dtype), bit_depth)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_format_s_text_decodes_every_symbol(name: str) -> None:
    """Also what no picture gives: symbols at their ends, whose values lie beyond the tables."""
    tokenizer = ImageTokenizer(name)
    stack, dims = tokenizer.stack, (19, 30, 3, 255)
    for rate in sorted({stack.rate_of(quality) for quality in (0, 50, 100)}):
        shape = (stack.rows(rate), 3, 4)
        rng = np.random.default_rng(rate)
        symbols = rng.integers(-127, 128, shape) if not stack.is_binary else rng.choice([-1, 1], shape)
        sides = stack.prior.num_sides
        side = np.full((sides, *shape), stack.side(rate), np.uint8) if sides else None
        payload = stack.prior.encode(symbols.astype(np.int32), side, check=False, hash_index=False)
        weights = models.load(f"tokens/{name}", MODELS[name])
        found = tokens.pixels(name, weights, varint(rate), payload, dims)
        assert np.array_equal(found, tokenizer.pixels(symbols.astype(np.int32), rate, dims))


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize("quality", [0, 60, 100])
@pytest.mark.parametrize(
    ("size", "channels", "bit_depth"), [((41, 70), 3, 8), ((8, 3), 1, 8), ((17, 24), 4, 12), ((30, 9), 2, 16)]
)
def test_the_format_s_text_decodes_tokens(
    name: str, quality: float, size: tuple[int, int], channels: int, bit_depth: int
) -> None:
    given = picture(*size, channels, bit_depth)
    stream = narrows.encode(given, codec=f"tokens/{name}", quality=quality)
    expected = narrows.decode(stream).pixels
    colors = 3 if channels >= 3 else 1
    reader = Reader(stream)
    header = reader.tracks[0]
    data = [chunk for chunk in reader.source() if chunk.kind == Kind.DATA]
    assert len(data) == 1
    weights = models.load(f"tokens/{name}", header.model)
    found = tokens.pixels(name, weights, header.params, data[0].payload, (*size, colors, given.peak))
    assert found.shape == (*size, colors)
    assert np.array_equal(found, expected[:, :, :colors])
