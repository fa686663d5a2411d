"""VQ, residual, product and Gumbel VQ, FSQ (rows K9, K12, K25 to K27; traps T8, T9, T26, T27, T30)."""

from __future__ import annotations

import copy
import math

import pytest

torch = pytest.importorskip("torch")

from narrows.bottlenecks.fsq import FSQ  # noqa: E402
from narrows.bottlenecks.prior import Histogram  # noqa: E402
from narrows.bottlenecks.rvq import RVQ, BinaryRVQ, ProductVQ  # noqa: E402
from narrows.bottlenecks.vq import VQ, GumbelVQ, nearest, prototype_terms, run_lengths  # noqa: E402
from narrows.errors import OptionError, SignalError  # noqa: E402


def seeded(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_k25_one_step_of_moving_averages() -> None:
    code = VQ(2, 1, decay=0.9).double()
    code.codes.copy_(torch.tensor([[0.0], [10.0]]))
    code.members.fill_(1.0)
    code.sums.copy_(code.codes)
    vectors = torch.tensor([[1.0], [2.0], [3.0], [11.0]], dtype=torch.float64)
    ids = nearest(vectors, code.codes)
    assert ids.tolist() == [0, 0, 0, 1]
    code.update(vectors, ids)
    assert code.members.tolist() == pytest.approx([1.2, 1.0], abs=1e-8)
    assert code.sums[:, 0].tolist() == pytest.approx([0.6, 10.1], abs=1e-8)
    assert code.codes[:, 0].tolist() == pytest.approx([0.500000379, 10.099990818], abs=1e-8)
    code.prior.observe(ids.reshape(1, 1, -1))
    assert float(code.prior.perplexity) == pytest.approx(1.754765351, abs=1e-8)


def test_t26_codes_far_from_the_start_come_into_use() -> None:
    code = VQ(256, 4, seed=1)
    for step in range(30):
        code.relax(3 + 0.1 * seeded(1, 4, 2048, seed=step))
    assert float(code.prior.used) > 0.9
    # Without the k-means start and the revival, data so far away leave one code of 256 in use.
    plain = torch.randn(256, 4, generator=torch.Generator().manual_seed(1))
    assert len(nearest(3 + 0.1 * seeded(2048, 4), plain).unique()) < 8


def test_nothing_moves_in_use_and_the_seed_fixes_the_rest() -> None:
    def trained() -> VQ:
        code = VQ(16, 3, seed=5)
        for step in range(4):
            code.relax(seeded(2, 3, 50, seed=step))
        return code

    one, other = trained(), trained()
    assert torch.equal(one.codes, other.codes)
    one.eval()
    before = {name: value.clone() for name, value in one.state_dict().items()}
    one.relax(seeded(2, 3, 50, seed=9))
    assert all(torch.equal(before[name], value) for name, value in one.state_dict().items())


def test_nearest_is_exact_far_from_zero_and_ties_go_low() -> None:
    codes = torch.tensor([[4096.0, 0.0], [4096.0, 0.0], [4096.25, 0.0], [4096.5, 0.0]])
    vectors = torch.tensor([[4096.0, 1e-3], [4096.2, 0], [4096.4, 0], [4096.125, 0.0]])
    assert nearest(vectors, codes).tolist() == [0, 2, 3, 0]


def test_nearest_tells_codes_apart_that_float32_does_not() -> None:
    codes = torch.tensor([[-5000.0], [5000.0], [5000.01]], dtype=torch.float64)
    vectors = torch.tensor([[5000.002], [5000.008], [5000.004], [5000.006]], dtype=torch.float64)
    assert nearest(vectors, codes).tolist() == [1, 2, 1, 2]


def test_one_code_is_legal_and_costs_nothing() -> None:
    code = VQ(1, 2)
    code.relax(seeded(3, 2, 4))
    code.eval()
    relaxed = code.relax(seeded(3, 2, 4))
    assert relaxed.rate_bits.tolist() == [0, 0, 0]
    assert relaxed.z_hat.shape == (3, 2, 4)


def test_the_gradient_passes_and_the_commitment_pulls() -> None:
    code = VQ(8, 2, seed=0)
    z = seeded(4, 2, 16).requires_grad_()
    relaxed = code.relax(z)
    relaxed.z_hat.sum().backward(retain_graph=True)
    assert torch.equal(z.grad, torch.ones_like(z))
    z.grad = None
    relaxed.losses["commitment"].backward()
    assert float(z.grad.abs().sum()) > 0


def test_k26_prototype_terms() -> None:
    z, codes = torch.tensor([[0.0, 0], [2, 0]]), torch.tensor([[1.0, 0], [0, 3], [5, 5]])
    of_codes, of_inputs = prototype_terms(z.double(), codes.double())
    assert float(of_codes) == pytest.approx(14.666666667, abs=1e-8)
    assert float(of_inputs) == pytest.approx(1, abs=1e-8)


@pytest.mark.parametrize(("logit", "expected"), [(0.0, 0.5), (1.0, 0.731058579), (-2.0, 0.119202922)])
@pytest.mark.parametrize("temperature", [1.0, 0.1])
def test_k27_how_often_gumbel_noise_keeps(logit: float, expected: float, temperature: float) -> None:
    code = GumbelVQ(2, 1, temperature=temperature, seed=2)
    code.codes.data.copy_(torch.tensor([[0.0], [1.0]]))
    logits = torch.zeros(1, 2, 40000)
    logits[:, 1] = logit
    kept = code.relax(logits).z_hat
    assert float(kept.detach().mean()) == pytest.approx(
        expected, abs=4 * math.sqrt(expected * (1 - expected) / 40000)
    )
    assert sorted(kept.detach().round(decimals=5).abs().unique().tolist()) == [0, 1]
    code.eval()
    assert code.quantize(logits).unique().tolist() == [int(logit > 0)]


def test_gumbel_gradients_reach_the_logits_and_the_codes() -> None:
    code = GumbelVQ(4, 3, seed=0)
    logits = seeded(2, 4, 5).requires_grad_()
    code.relax(logits).z_hat.square().sum().backward()
    assert float(logits.grad.abs().sum()) > 0
    assert float(code.codes.grad.abs().sum()) > 0


def test_k12_levels_digits_and_ids() -> None:
    code = FSQ([8, 5, 5, 5])
    z = torch.tensor([[0.0] * 4, [10.0] * 4, [-10.0] * 4, [0.3, -0.3, 1.2, -1.2]])
    digits = code.quantize(z)
    assert code.ids(digits).tolist() == [500, 999, 0, 173]
    assert code.dequantize(digits)[3].tolist() == [0.25, -0.5, 1, -1]
    every = torch.arange(1000)
    assert torch.equal(code.ids(code.digits(every)), every)
    assert len(torch.unique(code.dequantize(code.digits(every)), dim=0)) == 1000


def test_t9_two_levels_are_symmetric() -> None:
    code = FSQ([2, 3, 2])
    z = torch.tensor([[0.1, 0.1, -0.1], [-5.0, -5.0, 5.0]])
    assert code.dequantize(code.quantize(z)).tolist() == [[1, 0, -1], [-1, -1, 1]]


def test_t8_many_levels_need_no_codebook_and_no_int32() -> None:
    code = FSQ([8] * 11)
    top = torch.full((1, 11), 7)
    assert int(code.ids(top)) == 8**11 - 1
    assert torch.equal(code.digits(code.ids(top)), top)
    widest = FSQ([8] * 21)
    assert int(widest.ids(torch.full((1, 21), 7))) == 2**63 - 1
    with pytest.raises(ValueError, match="more than"):
        FSQ([8] * 22).ids(torch.zeros(1, 22, dtype=torch.int64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_fsq_digits_stay_inside_and_training_matches_use(dtype: torch.dtype) -> None:
    code = FSQ([2, 3, 4, 7, 16, 255, 65536])
    z = (5 * seeded(200, 7)).to(dtype)
    digits = code.quantize(z)
    assert bool((digits >= 0).all())
    assert bool((digits < code.levels).all())
    relaxed = code.relax(z)
    assert torch.allclose(relaxed.z_hat.float(), code.dequantize(digits), atol=1e-2)


def test_fsq_gradient_is_that_of_the_bound() -> None:
    z = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    FSQ([5, 5, 2]).relax(z).z_hat.sum().backward()
    assert z.grad[0].tolist() == pytest.approx([1.001, 1.001, 1.0], abs=1e-9)


def test_bad_sizes_and_bad_symbols() -> None:
    for levels in ([], [1], [65537], [5, 0]):
        with pytest.raises(OptionError, match="levels"):
            FSQ(levels)
    for size, dim in ((0, 1), (65537, 1), (4, 0)):
        with pytest.raises(OptionError, match="codebook"):
            VQ(size, dim)
    with pytest.raises(ValueError, match="outside the code"):
        VQ(4, 2).dequantize(torch.tensor([[4]]))
    with pytest.raises(ValueError, match="outside the code"):
        FSQ([5, 3]).dequantize(torch.tensor([[4, 3]]))
    with pytest.raises(ValueError, match="lies outside"):
        FSQ([5, 3]).digits(torch.tensor([15]))
    with pytest.raises(ValueError, match="stages"):
        RVQ(2, 4, 2).dequantize(torch.zeros(1, 3, dtype=torch.int64))
    with pytest.raises(OptionError, match="evenly"):
        ProductVQ(3, 4, 8)
    for code in (VQ(4, 2), RVQ(2, 4, 2), ProductVQ(2, 4, 2), GumbelVQ(2, 2), BinaryRVQ(2, 2), FSQ([5, 5])):
        with pytest.raises(SignalError, match="NaN"):
            code.quantize(torch.tensor([[1.0, math.nan]]))
        with pytest.raises(SignalError, match="empty"):
            code.relax(torch.zeros(0, 2))


K9_LEVELS = (0.79788456, 0.48262420, 0.26844090, 0.15967437, 0.10134429, 0.07059203)
K9_ERRORS = (0.36338023, 0.13045411, 0.05839360, 0.03289769, 0.02262703, 0.01764379)


def test_k9_binary_stages_on_a_normal_source() -> None:
    code = BinaryRVQ(6, 1)
    quantiles = torch.special.ndtri((torch.arange(400_000, dtype=torch.float64) + 0.5) / 400_000)
    code.relax(quantiles.float()[None, None])
    assert code.levels[:, 0].tolist() == pytest.approx(K9_LEVELS, rel=2e-4)
    code.eval()
    bits = code.quantize(quantiles.float()[None, None])
    for stages, expected in enumerate(K9_ERRORS, 1):
        error = (code.dequantize(bits[:, :stages])[0, 0] - quantiles).square().mean()
        assert float(error) == pytest.approx(expected, rel=2e-3)


def test_residual_stages_refine_and_the_first_alone_is_a_code() -> None:
    code = RVQ(3, 16, 2, seed=3)
    for step in range(30):
        code.relax(seeded(1, 2, 1000, seed=step))
    code.eval()
    z = seeded(1, 2, 4000, seed=99)
    ids = code.quantize(z)
    errors = [float((code.dequantize(ids[:, :n]) - z).square().mean()) for n in (1, 2, 3)]
    assert errors[0] < 0.2
    assert errors[1] < errors[0] / 3
    assert errors[2] < errors[1] / 3
    # T27: what the encoder subtracted is what the decoder adds, in stage order.
    value = code.stages[0].dequantize(ids[:, :1])
    for i in (1, 2):
        value = value + code.stages[i].dequantize(ids[:, i : i + 1])
    assert torch.equal(value, code.dequantize(ids))
    assert torch.equal(code.relax(z).z_hat, value)


def test_every_residual_stage_has_a_gradient() -> None:
    code = RVQ(3, 8, 2, seed=0)
    z = seeded(2, 2, 64).requires_grad_()
    code.relax(z)
    for stage in range(3):
        z.grad = None
        rest = z
        for earlier in code.stages[:stage]:
            rest = rest - earlier.dequantize(earlier.quantize(rest))
        code.stages[stage].relax(rest).losses["commitment"].backward()
        assert float(z.grad.abs().sum()) > 0


def test_the_commitment_is_that_of_every_stages_residual() -> None:
    code = RVQ(3, 8, 2, seed=0)
    code.relax(seeded(2, 2, 64))
    twin = copy.deepcopy(code).eval()
    z = seeded(2, 2, 64, seed=1).requires_grad_()
    ids = twin.quantize(z)
    code.relax(z).losses["commitment"].backward()
    rest = [z.detach() - twin.dequantize(ids[:, :n]) for n in (1, 2, 3)]
    assert torch.allclose(z.grad, 2 * sum(rest) / z.numel(), atol=1e-6)


def test_dropout_of_stages_serves_every_rate() -> None:
    code = RVQ(4, 8, 2, dropout=True, seed=0)
    rates = torch.stack([code.relax(seeded(32, 2, 10, seed=step)).rate_bits for step in range(10)])
    # Items with one stage cost about 30 bits, with four about 120.
    assert float(rates[5:].min()) < 45
    assert float(rates[5:].max()) > 75


def test_groups_of_channels_have_their_own_codes() -> None:
    code = ProductVQ(2, 4, 4, seed=0)
    for step in range(10):
        code.relax(torch.cat([seeded(8, 2, 20, seed=step), 10 + seeded(8, 2, 20, seed=step)], 1))
    code.eval()
    ids = code.quantize(torch.zeros(1, 4, 1))
    assert ids.shape == (1, 2, 1)
    value = code.dequantize(ids)[0, :, 0]
    assert float(value[:2].abs().max()) < 3
    assert float(value[2:].min()) > 6


@pytest.mark.parametrize(
    ("size", "levels", "error", "bits"),
    [
        (2, (0.79788456,), 0.36338023, 1.0),
        (4, (0.45278003, 1.51041761), 0.11748185, 1.911099),
        (8, (0.24509418, 0.75600528, 1.34390928, 2.1519457), 0.03454776, 2.824865),
        (16, (), 0.00950101, 3.765328),
    ],
)
def test_k7_k_means_finds_lloyds_and_maxs_levels(
    size: int, levels: tuple[float, ...], error: float, bits: float
) -> None:
    z = torch.special.ndtri((torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000)
    code = VQ(size, 1, seed=1).double()
    code.start(z[:, None], rounds=150 if size < 16 else 400)
    found = code.codes[:, 0].sort().values
    if levels:
        assert found[size // 2 :].tolist() == pytest.approx(levels, abs=4e-3)
    assert (-found.flip(0)).tolist() == pytest.approx(found.tolist(), abs=2e-2)
    ids = nearest(z[:, None], code.codes)
    assert float((code.codes[ids, 0] - z).square().mean()) == pytest.approx(
        error, rel=2e-3 if size < 16 else 5e-3
    )
    code.prior.observe(ids[None, None])
    assert math.log2(float(code.prior.perplexity)) == pytest.approx(bits, abs=2e-3)


def normal_grid() -> tuple[torch.Tensor, torch.Tensor]:
    """Points of a fine grid and the mass of N(0, 1) at each."""
    z = torch.linspace(-9, 9, 720_000, dtype=torch.float64)
    mass = torch.exp(-z.square() / 2)
    return z[:, None], mass / mass.sum()


@pytest.mark.parametrize(
    ("levels", "error", "bits"),
    [
        ((0.79788456,), 0.36338023, 1.0),
        ((0.45278003, 1.51041761), 0.11748185, 1.911099),
        ((0.24509418, 0.75600528, 1.34390928, 2.1519457), 0.03454776, 2.824865),
    ],
)
def test_k7_the_best_levels_by_integration(levels: tuple[float, ...], error: float, bits: float) -> None:
    z, mass = normal_grid()
    codes = torch.tensor([*(-level for level in levels[::-1]), *levels], dtype=torch.float64)[:, None]
    ids = nearest(z, codes)
    assert float((mass * (codes[ids] - z).square()[:, 0]).sum()) == pytest.approx(error, abs=1e-6)
    share = torch.bincount(ids, mass)
    assert float(-(share * share.log2()).sum()) == pytest.approx(bits, abs=1e-5)
    # Each level is its cell's mean: where moving averages come to rest.
    assert torch.allclose(
        torch.bincount(ids, mass * z[:, 0]) / share, codes[:, 0], atol=3e-5
    )  # the grid's step is 2.5e-5


@pytest.mark.parametrize(
    ("size", "step", "error"),
    [
        (2, 1.595769, 0.36338023),
        (4, 0.995687, 0.11884605),
        (8, 0.586019, 0.03743966),
        (16, 0.335201, 0.01154288),
    ],
)
def test_k7_the_best_even_levels_by_integration(size: int, step: float, error: float) -> None:
    z, mass = normal_grid()

    def distortion(step: float) -> float:
        codes = (torch.arange(size, dtype=torch.float64) - (size - 1) / 2)[:, None] * step
        return float((mass * (codes[nearest(z, codes)] - z).square()[:, 0]).sum())

    assert distortion(step) == pytest.approx(error, abs=1e-6)
    assert distortion(step) < min(distortion(step - 2e-3), distortion(step + 2e-3))


def test_k61_ids_that_seldom_change_cost_their_entropy_rate() -> None:
    """Runs of ids: where one ends is a flag, and which comes next one of seven."""
    rng = torch.Generator().manual_seed(0)
    changes = torch.rand(200_000, generator=rng) < 0.05
    ids = (changes * torch.randint(1, 8, (200_000,), generator=rng)).cumsum(0) % 8
    values, lengths = run_lengths(ids)
    assert torch.equal(values.repeat_interleave(lengths), ids)
    flags = Histogram(1, 2)
    flags.observe(changes[None, None].long())
    steps = Histogram(1, 7, offset=1)
    step = (values.diff() % 8)[None, None]
    steps.observe(step)
    bits = float(flags.cost_bits(changes[None, None].long()) + steps.cost_bits(step))
    assert bits / 200_000 == pytest.approx(0.426764703, rel=0.01)
