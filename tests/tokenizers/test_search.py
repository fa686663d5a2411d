"""Latents of one picture sought by gradient: less error for its bits, read by the same decoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conformance.cases import signals_for

import narrows
from narrows import registry
from narrows.tokenizers import image

torch = pytest.importorskip("torch", reason="the search is by gradient")

from narrows.tokenizers.search import _decoder, _gains, capacity, costs, search  # noqa: E402

NUMBERS = [name for name in sorted(image.MODELS) if name not in ("vq", "bsq")]


def picture() -> Any:
    return signals_for(narrows.Image)["picture"]


def bands() -> np.ndarray:
    return image.bands_of(picture().pixels, 255)


@pytest.mark.parametrize("name", NUMBERS)
def test_the_float_decoder_is_nearly_the_integer_one(name: str) -> None:
    stack = registry.tokenizer(name).stack
    latent = stack.dequantize(stack.quantize(stack.latent(bands()), stack.rate_of(75)), stack.rate_of(75))
    given = torch.from_numpy(latent.astype(np.float32) * 2.0**-image.LATENT_BITS)[None]
    found = sum(_decoder(network)(given) for network in stack.decoder)[0].numpy()
    assert np.abs(found - stack.bands(latent)).mean() < 0.5


@pytest.mark.parametrize("name", NUMBERS)
def test_a_search_lowers_the_error_without_a_price(name: str) -> None:
    stack = registry.tokenizer(name).stack
    found = search(stack, bands(), stack.rate_of(30), steps=25, price=0.0)
    assert found.error_after < found.error_before
    exact = stack.bands(stack.dequantize(found.symbols, stack.rate_of(30))) - bands()
    weighted = np.square(exact) * _gains()[:, None, None]
    assert weighted.sum(0).mean() == pytest.approx(found.error_after, rel=0.02)


def coded_bits(stack: image.Stack, symbols: np.ndarray, rate: int) -> int:
    sides = np.full((stack.prior.num_sides, *symbols.shape), stack.side(rate), np.uint8)
    return 8 * len(stack.prior.encode(symbols, sides, check=False, hash_index=False))


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("quality", [0.0, 80.0])
def test_costs_are_what_the_prior_spends(name: str, quality: float) -> None:
    stack = registry.tokenizer(name).stack
    rate = stack.rate_of(quality)
    symbols = stack.quantize(stack.latent(bands()), rate)
    bits, dearer = costs(stack.prior, symbols, stack.side(rate))
    assert bits == pytest.approx(coded_bits(stack, symbols, rate), rel=0.01, abs=100)
    # The last symbol of all is read by no other.
    for way, sign in enumerate((-1, 1)):
        moved = symbols.copy()
        moved[-1, -1, -1] += sign
        assert costs(stack.prior, moved, stack.side(rate))[0] - bits == pytest.approx(
            float(dearer[way, -1, -1, -1]), abs=1e-6
        )


@pytest.mark.parametrize("name", NUMBERS)
def test_dearer_bits_are_fewer(name: str) -> None:
    stack = registry.tokenizer(name).stack
    rate, given = stack.rate_of(60.0), bands()
    cheap, dear = (search(stack, given, rate, steps=20, price=price) for price in (0.1, 2.0))
    assert dear.bits_after < min(dear.bits_before, cheap.bits_after)
    assert coded_bits(stack, dear.symbols, rate) < coded_bits(stack, cheap.symbols, rate)


@pytest.mark.parametrize("name", NUMBERS)
def test_effort_is_an_option_that_decoders_do_not_see(name: str) -> None:
    given = picture()
    plain, sought = (narrows.encode(given, f"tokens/{name}", quality=50.0, effort=n) for n in (0, 2))
    assert narrows.encode(given, f"tokens/{name}", quality=50.0, effort=2) == sought
    assert narrows.decode(sought).pixels.shape == narrows.decode(plain).pixels.shape
    with pytest.raises(narrows.OptionError):
        narrows.encode(given, f"tokens/{name}", effort=10)


@pytest.mark.parametrize("name", NUMBERS[:1])
def test_capacity_is_what_is_gained_for_the_bits_of_the_latent(name: str) -> None:
    stack = registry.tokenizer(name).stack
    gained, bits, share = capacity(stack, bands(), 64, steps=40)
    assert gained > 0
    assert share == pytest.approx(gained / bits)
    assert capacity(stack, bands(), 64, steps=4)[0] < gained


@pytest.mark.parametrize("name", [name for name in image.MODELS if name in ("vq", "bsq")])
def test_codes_have_no_gradient(name: str) -> None:
    with pytest.raises(ValueError, match="no numbers"):
        search(registry.tokenizer(name).stack, bands(), 1)
