"""Latents sought by gradient: against brute force, and against what a linear decoder can hold."""

from __future__ import annotations

import math
from itertools import product

import pytest

torch = pytest.importorskip("torch")

from narrows.bottlenecks import BSQ, FSQ, VQ, Gaussian, Scalar, Sparse  # noqa: E402
from narrows.training.latent_search import (  # noqa: E402
    information_gain_bits,
    longest_recalled,
    seek,
    seek_symbols,
)


def seeded(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def recalled(dim: int, length: int, seed: int) -> tuple[float, float]:
    """The share of random bits that some latent makes a linear decoder say, and the information gained."""
    decoder, bits = seeded(length, dim, seed=seed), seeded(length, seed=seed + 1) > 0

    def loss_of(z: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.binary_cross_entropy_with_logits(decoder @ z, bits.float())

    found = seek(loss_of, torch.zeros(dim), steps=1500, learning_rate=0.3, patience=400)
    share = float(((decoder @ found.best > 0) == bits).float().mean())
    return share, information_gain_bits(length * found.before, length * found.after)


def test_a_linear_decoder_holds_as_many_bits_as_it_has_numbers_and_not_four_times_as_many() -> None:
    """Cover 1965: all signs of n points in general position can be had up to n = dim, half at 2 dim."""
    dim = 16
    found = {length: [recalled(dim, length, seed) for seed in (0, 10)] for length in (16, 64, 128)}
    shares = {length: min(share for share, _ in pairs) for length, pairs in found.items()}
    assert shares[16] == 1
    assert longest_recalled(shares) == 16
    for _, gain in found[16]:
        assert 15 < gain <= 16  # all its bits, and never more than there are
    for _, gain in found[128]:
        assert 0 < gain < 128


def test_a_sparse_code_has_a_price_too() -> None:
    code = Sparse(2, 8, 2)
    code.relax(seeded(400, 2))
    code.eval()
    z, wanted, price = seeded(16, 2, seed=1), seeded(16, 2, seed=2), 0.05
    found = seek_symbols(code, lambda v: (v - wanted).square().sum(), z, price=price, steps=50)
    with torch.no_grad():
        error = float((code.dequantize(found.best) - wanted).square().sum())
    assert found.after == pytest.approx(error + price * float(code.rate_bits(found.best).sum()))
    assert found.after < found.before


def test_symbols_come_near_the_best_there_are() -> None:
    """A decoder that mixes its latents: rounding each alone is not best. By brute force."""
    code = Scalar(4, step=1.0)
    code.relax(seeded(4000, 4))
    code.eval()
    mixing = seeded(4, 6, seed=3)
    gains, reached = [], []
    for seed in range(8):
        wanted = 2 * seeded(1, 4, seed=100 + seed) @ mixing
        z = wanted @ torch.linalg.pinv(mixing)

        def distortion_of(v: torch.Tensor, wanted: torch.Tensor = wanted) -> torch.Tensor:
            return (v @ mixing - wanted).square().sum()

        price = 0.05
        found = seek_symbols(code, distortion_of, z, price=price, steps=150)
        start = code.quantize(z)
        around = [start + torch.tensor([move]) for move in product(range(-1, 2), repeat=4)]
        costs = [float(distortion_of(code.dequantize(s))) + price * float(code.rate_bits(s)) for s in around]
        assert found.after <= found.before
        own = float(distortion_of(code.dequantize(found.best))) + price * float(code.rate_bits(found.best))
        assert own == pytest.approx(found.after, rel=1e-4)
        gains.append(found.before - found.after)
        reached.append(found.before - min(costs))
    assert sum(gains) > 0.8 * sum(reached) > 0


def test_bits_alone_draw_symbols_to_the_cheapest() -> None:
    code = Scalar(1, step=0.25)
    code.relax(seeded(1, 1, 4000))
    code.eval()
    z = 2 * seeded(1, 1, 50, seed=1)
    found = seek_symbols(code, lambda v: 0 * v.sum(), z, price=1.0)
    assert found.after < 0.75 * found.before


@pytest.mark.parametrize("name", ["fsq", "vq", "bsq", "gaussian"])
def test_every_kind_of_symbol_can_be_sought(name: str) -> None:
    code = {"fsq": FSQ([5] * 4), "vq": VQ(64, 4), "bsq": BSQ(4), "gaussian": Gaussian(4, step=0.5)}[name]
    z = seeded(8, 8 if name == "gaussian" else 4, 6, seed=1)
    with torch.no_grad():
        code.relax(z)
    code.eval()
    mixing = seeded(4, 8, seed=2)
    wanted = torch.einsum("bct,cd->bdt", 0.8 * code.dequantize(code.quantize(z)), mixing)

    def distortion_of(v: torch.Tensor) -> torch.Tensor:
        return (torch.einsum("bct,cd->bdt", v, mixing) - wanted).square().mean()

    found = seek_symbols(code, distortion_of, z + 0.3 * seeded(*z.shape, seed=3), steps=60)
    assert found.after < found.before
    assert torch.equal(code.decode(code.encode(found.best), found.best.shape), found.best)


def test_a_search_stops_and_refuses_a_code_in_training() -> None:
    calls = []

    def loss_of(z: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return z.square().sum()

    assert seek(loss_of, torch.ones(1), enough=2.0).after == 1
    assert len(calls) == 1
    flat = seek(lambda z: 0 * z.sum() + 1, torch.ones(1), patience=5)
    assert (flat.before, flat.after) == (1, 1)
    with pytest.raises(ValueError, match="in training"):
        seek_symbols(Scalar(1), lambda v: v.sum(), torch.zeros(1, 1))
    assert information_gain_bits(math.log(2), 0) == pytest.approx(1)
    assert longest_recalled({4: 0.5}) == 0


def test_a_search_ends_where_losses_are_no_numbers() -> None:
    """NaN is below nothing: without a check the search would go on from NaN and say infinity."""
    with pytest.raises(ValueError, match="at the start is nan"):
        seek(lambda z: (z * math.nan).sum(), torch.ones(2))
    with pytest.raises(ValueError, match="at the start is inf"):
        seek(lambda z: z.sum() + math.inf, torch.ones(2))
    calls = []

    def falls_off(z: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return z.sqrt().sum()  # NaN below zero

    found = seek(falls_off, torch.full((1,), 0.35), steps=500, learning_rate=0.1)
    assert 0 <= found.after < found.before
    assert torch.isfinite(found.best).all()
    assert len(calls) < 10
    no_gradient = seek(lambda z: z.sqrt().sum(), torch.zeros(1), steps=50)
    assert (no_gradient.before, no_gradient.after) == (0, 0)


def test_a_search_of_symbols_ends_where_losses_are_no_numbers() -> None:
    code = Scalar(2).eval()
    z = torch.tensor([[0.4, 1.4]])
    with pytest.raises(ValueError, match="at the start is nan"):
        seek_symbols(code, lambda v: v.sum() * math.nan, z)
    found = seek_symbols(code, lambda v: (v - v.detach()).sqrt().sum() + 1, z)  # 1, with no gradient
    assert torch.equal(found.best, code.quantize(z))
    assert (found.before, found.after) == (1, 1)
