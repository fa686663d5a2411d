"""Scalar, Gaussian and WAE bottlenecks (K6, K8, K20 to K22, K24, K41, K43, K44, K58; T23, T24, T30)."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from narrows.bottlenecks import gaussian, wae  # noqa: E402
from narrows.bottlenecks.gaussian import FlowPrior, Gaussian, SoftFreeBits, free_bits, gaussian_kl  # noqa: E402
from narrows.bottlenecks.scalar import Scalar  # noqa: E402
from narrows.bottlenecks.wae import WAE, gaussian_kernel, inverse_multiquadrics, mmd  # noqa: E402
from narrows.entropy import decode_symbols, encode_symbols  # noqa: E402
from narrows.errors import OptionError, SignalError  # noqa: E402
from narrows.training.objectives import elbo, rate  # noqa: E402

X = torch.tensor([[0.0, 0], [1, 0], [0, 2]], dtype=torch.float64)
Y = torch.tensor([[0.0, 1], [-1, 0], [1, 1]], dtype=torch.float64)


def seeded(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def normal_quantiles(count: int, deviation: float = 1.0) -> torch.Tensor:
    return deviation * torch.special.ndtri((torch.arange(count, dtype=torch.float64) + 0.5) / count)


def test_k58_divergence_and_free_bits() -> None:
    mean, deviation = (
        torch.tensor([1.0, 0.3], dtype=torch.float64),
        torch.tensor([0.5, 0.8], dtype=torch.float64),
    )
    assert gaussian_kl(mean, 2 * deviation.log()).tolist() == pytest.approx(
        [0.818147181, 0.088143551], abs=1e-8
    )
    of_channels = torch.tensor([[0.05, 0.5, 0.0, 1.2]], dtype=torch.float64)
    assert float(free_bits(of_channels, 0.25)) == pytest.approx(2.2, abs=1e-8)
    assert float(free_bits(of_channels, 0.0)) == pytest.approx(1.75, abs=1e-8)
    # The free amount is for a channel's mean over the batch, summed over positions.
    spread = torch.zeros(2, 1, 4, dtype=torch.float64)
    spread[0] = 0.1
    assert float(free_bits(spread, 0.15)) == pytest.approx(0.2, abs=1e-8)


def test_channels_below_their_free_bits_have_no_gradient() -> None:
    divergence = torch.tensor([[0.1, 2.0], [0.1, 4.0]], requires_grad=True)
    free_bits(divergence, 0.5).backward()
    assert divergence.grad.tolist() == [[0, 0.5], [0, 0.5]]


def test_soft_free_bits_steer_the_weight() -> None:
    soft = SoftFreeBits(1.0)
    assert float(soft(torch.tensor(0.5))) == pytest.approx(0.9)
    assert float(soft(torch.tensor(1.02))) == pytest.approx(0.9)
    assert float(soft(torch.tensor(2.0))) == pytest.approx(0.99)
    assert float(soft(torch.tensor(2.0))) == 1.0
    assert not soft(torch.tensor(2.0)).requires_grad


def test_k43_autoregressive_density() -> None:
    z = torch.tensor([0.7, -0.4], dtype=torch.float64)
    mean, log_deviation = torch.stack([0 * z[0], 0.5 * z[0]]), torch.stack([0 * z[0], 0.3 * z[0]])
    assert float(gaussian.flow_log_prob(z, mean, log_deviation)) == pytest.approx(-2.477671484, abs=1e-8)


def test_a_coefficient_is_predicted_from_those_before_it_alone() -> None:
    prior = FlowPrior(5, hidden=32)
    z = seeded(1, 5).requires_grad_()
    for i in range(5):
        for found in prior(z):
            z.grad = None
            found[0, i].backward(retain_graph=True)
            reached = z.grad[0] != 0
            assert not bool(reached[i:].any())
            if i:
                assert bool(reached[:i].any())
    # As a density it integrates to one, and training finds a dependence.
    torch.manual_seed(0)
    prior = FlowPrior(2, hidden=32)
    optimizer = torch.optim.Adam(prior.parameters(), 0.02)
    first = seeded(512, 1)
    data = torch.cat([first, 0.8 * first + 0.6 * seeded(512, 1, seed=1)], 1)
    for _ in range(150):
        optimizer.zero_grad()
        loss = -prior.log_prob(data).mean()
        loss.backward()
        optimizer.step()
    independent = 1 + math.log(2 * math.pi)
    assert float(loss.detach()) == pytest.approx(independent + math.log(0.6), abs=0.12)


def test_an_autoregressive_prior_codes_in_integers() -> None:
    """Latents that predict each other cost what the prior says of them, and less than each alone."""
    torch.manual_seed(0)
    mixing = torch.tensor([[1.0, 0, 0], [0.9, 0.4, 0], [0.5, -0.7, 0.5]])
    train, test = (seeded(1 << 15, 3, seed=s) @ mixing.T + torch.tensor([3.0, 0, -1]) for s in (1, 2))
    prior = FlowPrior(3, hidden=16)
    optimizer = torch.optim.Adam(prior.parameters(), 0.02)
    for step in range(200):
        optimizer.zero_grad()
        (-prior.log_prob(train[torch.arange(256) + 128 * step]).mean()).backward()
        optimizer.step()
    code = Scalar(3, step=0.125)
    with torch.no_grad():
        code.relax(train)
    code.eval()
    symbols = code.quantize(test)
    model = prior.entropy_model(code.quantize(train[:1000]), step=code.step, center=code.center)
    payload = encode_symbols(model, symbols.numpy())
    assert np.array_equal(decode_symbols(model, payload, symbols.shape), symbols.numpy())
    with torch.no_grad():
        nats = -prior.log_prob(code.dequantize(symbols)).sum()
    bits = float(nats) / math.log(2) - symbols.numel() * math.log2(code.step)
    assert 0.99 * bits < 8 * len(payload) < 1.01 * bits + 128
    assert len(payload) < 0.93 * len(code.encode(symbols))
    for wrong in (symbols[:0], symbols[:, :2], symbols[0]):
        with pytest.raises(ValueError):
            prior.entropy_model(wrong)
    # Positions of a grid are items.
    grid = symbols[:600].reshape(6, 10, 10, 3).movedim(3, 1)
    again = decode_symbols(model, encode_symbols(model, grid.numpy()), grid.shape)
    assert np.array_equal(again, grid.numpy())


def test_k44_the_divergence_is_information_plus_marginal() -> None:
    z = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    step = float(z[1] - z[0])
    normal = torch.distributions.Normal
    halves = [normal(m, 1.0).log_prob(z).exp() for m in (-1.0, 1.0)]
    marginal, prior = (halves[0] + halves[1]) / 2, normal(0.0, 1.0).log_prob(z)
    information = sum(float((h * (h.log() - marginal.log())).sum()) * step for h in halves) / 2
    against_prior = float((marginal * (marginal.log() - prior)).sum()) * step
    assert (information, against_prior) == pytest.approx((0.336830820, 0.163169180), abs=1e-7)
    mean = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    assert float(free_bits(gaussian_kl(mean, 0 * mean), 0.0)) == pytest.approx(
        information + against_prior, abs=1e-7
    )


def test_k20_t24_discrepancy_of_fixed_samples() -> None:
    for kernel, biased, unbiased in (
        (lambda d: 4 / (4 + d), 0.113580247, -0.146913580),
        (inverse_multiquadrics(2), 1.257330754, -0.709246562),
        (lambda d: torch.exp(-d / 4), 0.114631536, -0.207032769),
    ):
        assert float(mmd(X, Y, kernel, biased=True)) == pytest.approx(biased, abs=1e-8)
        assert float(mmd(X, Y, kernel)) == pytest.approx(unbiased, abs=1e-8)


@pytest.mark.parametrize("dim", [2, 8, 20, 64])
def test_k21_t23_collapse_is_charged_at_every_dimension(dim: int) -> None:
    collapsed, prior = torch.zeros(600, dim), seeded(600, dim)
    charged = {2: 0.166667, 8: 0.161010, 20: 0.157717, 64: 0.155794}[dim]
    assert float(mmd(collapsed, prior, gaussian_kernel(dim))) == pytest.approx(charged, abs=0.03)
    assert float(mmd(collapsed, prior, inverse_multiquadrics(dim))) > 1
    narrow = float(mmd(collapsed, prior, gaussian_kernel(dim**2 / 2)))
    assert narrow < 1.1 / dim
    # By quadrature over the prior's squared length: chi-square of `dim` degrees.
    x = torch.linspace(0, 8 * dim + 60, 400_001, dtype=torch.float64)[1:]
    mass = torch.exp((dim / 2 - 1) * x.log() - x / 2)
    mass = mass / mass.sum()
    one, all_scales = {
        2: (0.151033, 1.583953),
        8: (0.161720, 1.833780),
        20: (0.164511, 1.895877),
        64: (0.165960, 1.925386),
    }[dim]
    for scales, expected in (((1.0,), one), ((0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0), all_scales)):
        kernel = inverse_multiquadrics(dim, scales)
        apart, across = float((mass * kernel(2 * x)).sum()), float((mass * kernel(x)).sum())
        assert len(scales) + apart - 2 * across == pytest.approx(expected, abs=2e-4)
    # The bottleneck's own penalty, which a kernel too narrow would make next to nothing.
    torch.manual_seed(0)
    penalty = float(WAE(dim).relax(torch.zeros(300, dim)).losses["penalty"])
    assert penalty == pytest.approx(all_scales, abs=0.1)


def test_k22_the_discrepancy_at_the_match() -> None:
    generator = torch.Generator().manual_seed(0)
    kernel = gaussian_kernel(8)
    draws = [
        [torch.randn(64, 8, dtype=torch.float64, generator=generator) for _ in "xy"] for _ in range(1500)
    ]
    biased = torch.stack([mmd(x, y, kernel, biased=True) for x, y in draws])
    unbiased = torch.stack([mmd(x, y, kernel) for x, y in draws])
    for found, expected in ((biased, 0.018450), (unbiased, 0.0)):
        assert abs(float(found.mean()) - expected) < 4 * float(found.std()) / math.sqrt(len(found))


def test_k24_the_discriminators_losses_at_the_match() -> None:
    logits = torch.zeros(10)
    assert float(wae.discriminator_loss(logits, logits)) == pytest.approx(1.386294361, abs=1e-6)
    assert float(wae.encoder_loss(logits)) == pytest.approx(0.693147181, abs=1e-6)
    # Away from it the best discriminator loses 2 ln 2 - 2 JS: N(0, 1) against N(1, 1).
    z = normal_quantiles(400_000)
    best = float(wae.discriminator_loss(0.5 - z, 0.5 - (z + 1)))
    assert math.log(2) - best / 2 == pytest.approx(0.111421482, abs=1e-6)


def test_gan_losses_reach_only_whom_they_train() -> None:
    code = WAE(3, penalty="gan")
    z = seeded(16, 3).requires_grad_()
    losses = code.relax(z).losses
    parameters = list(code.discriminator.parameters())
    losses["penalty"].backward(retain_graph=True)
    assert float(z.grad.abs().sum()) > 0
    assert all(p.grad is None for p in parameters)
    z.grad = None
    losses["discriminator"].backward()
    assert z.grad is None
    assert all(p.grad is not None for p in parameters)


def test_the_mmd_penalty_pulls_a_latent_to_the_prior() -> None:
    code = WAE(2, seed=0)
    z = (1.5 + 0.3 * seeded(128, 2)).requires_grad_()
    optimizer = torch.optim.Adam([z], 0.1)
    before = float(code.relax(z).losses["penalty"].detach())
    for _ in range(200):
        optimizer.zero_grad()
        code.relax(z).losses["penalty"].backward()
        optimizer.step()
    assert float(code.relax(z).losses["penalty"].detach()) < before / 20
    assert abs(float(z.detach().mean())) < 0.3
    assert float(z.detach().std()) == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize(
    ("deviation", "noisy_bits", "rounded_bits"),
    [
        (0.2, 0.521194, 0.108855),
        (0.5, 1.254427, 1.241196),
        (1.0, 2.104833, 2.104833),
        (2.0, 3.061969, 3.061969),
    ],
)
def test_k41_the_price_of_noise_and_of_rounding(
    deviation: float, noisy_bits: float, rounded_bits: float
) -> None:
    torch.manual_seed(0)
    code = Scalar(1, components=2, seed=1)
    z = normal_quantiles(20001, deviation).float()[torch.randperm(20001)][None, None]
    optimizer = torch.optim.Adam(code.density.parameters(), 0.05)
    for step in range(160):
        optimizer.zero_grad()
        price = code.relax(z).rate_bits.mean() / z.numel()
        price.backward()
        optimizer.step()
        if step == 120:
            optimizer.param_groups[0]["lr"] = 0.005
    assert float(price.detach()) == pytest.approx(noisy_bits, abs=0.012)
    assert math.log2(float(code.prior.perplexity)) == pytest.approx(rounded_bits, abs=2e-4)
    code.eval()
    assert float(code.relax(z).rate_bits) / z.numel() == pytest.approx(rounded_bits, abs=0.012)


def test_k8_rounding_a_normal_source() -> None:
    z = normal_quantiles(400_001)[None, None]
    for step, bits, middle, centroid, gaps in (
        (1.0, 2.104833, 0.08333333, 0.07691518, (0.312351, 0.254539)),
        (0.5, 3.061969, 0.02083333, 0.02040812, (0.269488, 0.254613)),
    ):
        code = Scalar(1, step=step)
        with torch.no_grad():
            code.relax(z)
        assert math.log2(float(code.prior.perplexity)) == pytest.approx(bits, abs=2e-5)
        code.eval()
        relaxed = code.relax(z)
        assert float(relaxed.rate_bits) / z.numel() == pytest.approx(bits, abs=2e-3)
        errors = [float((relaxed.z_hat - z).square().mean())]
        symbols = code.quantize(z).flatten()
        symbols -= symbols.min()
        means = torch.bincount(symbols, z.flatten()) / torch.bincount(symbols).clamp(min=1)
        errors.append(float((means[symbols] - z.flatten()).square().mean()))
        assert errors == pytest.approx([middle, centroid], abs=1e-5)
        for error, gap in zip(errors, gaps, strict=True):
            _, bound = rate.water_filling(torch.tensor([1.0]), error)
            assert bits - bound == pytest.approx(gap, abs=2e-4)


def test_t30_use_depends_on_the_integers_alone() -> None:
    for code, z in (
        (Scalar(3, step=0.3), seeded(2, 3, 50)),
        (WAE(3, step=0.3), seeded(2, 3, 50)),
        (Gaussian(3, step=0.3), seeded(2, 6, 50)),
    ):
        code.relax(z)
        code.eval()
        symbols = code.quantize(z)
        value = code.dequantize(symbols)
        assert torch.equal(code.relax(z).z_hat, value)
        again = torch.cat([value, 0 * value], 1) if isinstance(code, Gaussian) else value
        assert torch.equal(code.quantize(again), symbols)
        assert float((value - z[:, :3]).abs().max()) <= 0.15 + 1e-6


def test_gaussian_samples_and_divergence() -> None:
    code = Gaussian(1, seed=0)
    z = torch.cat([torch.full((1, 1, 200_000), 1.0), torch.full((1, 1, 200_000), 2 * math.log(0.5))], 1)
    relaxed = code.relax(z)
    assert float(relaxed.z_hat.mean()) == pytest.approx(1, abs=0.01)
    assert float(relaxed.z_hat.std()) == pytest.approx(0.5, abs=0.01)
    assert float(relaxed.rate_bits) / 200_000 == pytest.approx(1.180336880, abs=1e-4)
    assert float(relaxed.losses["kl"]) / 200_000 == pytest.approx(0.818147181, abs=1e-4)
    extreme = torch.tensor([[0.0, 1000.0], [0.0, -1000.0]])
    assert bool(torch.isfinite(code.relax(extreme).losses["kl"]))


def test_constant_channels_cost_next_to_nothing() -> None:
    code = Gaussian(2)
    z = torch.zeros(1, 4, 5000)
    for _ in range(3):
        code.relax(z)
    code.eval()
    assert float(code.relax(z).rate_bits) / 10_000 < 0.002


def test_the_far_and_the_impossible() -> None:
    code = Scalar(1)
    code.relax(seeded(1, 1, 100))
    code.eval()
    far = torch.tensor([[[1e9, -1e9, 3.0]]])
    assert code.dequantize(code.quantize(far))[0, 0].tolist() == pytest.approx([1e9, -1e9, 3.0], abs=0.5)
    assert float(code.relax(far).rate_bits) < 200
    for bad in ([[math.nan]], [[math.inf]]):
        with pytest.raises(SignalError, match="NaN"):
            code.quantize(torch.tensor(bad))
    with pytest.raises(SignalError, match="floating"):
        code.quantize(torch.ones(1, 1, dtype=torch.int64))
    for channels, step in ((0, 1.0), (1, 0.0), (1, math.nan)):
        with pytest.raises(OptionError, match="step"):
            Scalar(channels, step=step)
    with pytest.raises(OptionError, match="mmd or gan"):
        WAE(1, penalty="kl")
    with pytest.raises(ValueError, match="two items"):
        mmd(X[:1], Y, gaussian_kernel(1))


@pytest.mark.slow
def test_k6_a_linear_vae_fills_water_in_reverse() -> None:
    variances, v = torch.tensor([4, 1, 0.25], dtype=torch.float64), 0.5
    generator = torch.Generator().manual_seed(0)
    encode, decode = (
        torch.randn(3, 3, dtype=torch.float64, generator=generator).mul(0.3).requires_grad_() for _ in "ed"
    )
    log_s = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([encode, decode, log_s], 0.01)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 8000)
    for _ in range(8000):
        optimizer.zero_grad()
        whole = torch.eye(3, dtype=torch.float64) - decode @ encode
        distortion = (whole.square() * variances).sum() + (decode.square() * (2 * log_s).exp()).sum()
        mean_square = (encode.square() * variances).sum(1)
        # Divergence and likelihood are linear in squares: at their roots they are the expectations.
        kl = gaussian_kl((mean_square + 1e-20).sqrt(), 2 * log_s).sum()
        error = torch.cat([distortion.sqrt()[None], torch.zeros(2, dtype=torch.float64)])[None]
        loss = -elbo.elbo(elbo.gaussian_log_likelihood(error, 0 * error, v), kl)[0]
        loss.backward()
        optimizer.step()
        scheduler.step()
    assert distortion.item() == pytest.approx(1.25, abs=1e-3)
    assert kl.item() / math.log(2) == pytest.approx(2.0, abs=1e-3)
    assert loss.item() == pytest.approx(4.353389, abs=1e-3)
    assert sorted((2 * log_s.detach()).exp().tolist()) == pytest.approx([0.125, 0.5, 1], abs=1e-3)


def test_a_mixture_density_has_a_mass_of_one_and_a_gradient_in_its_tails() -> None:
    from narrows.bottlenecks.scalar import LogisticMixture

    density = LogisticMixture(2, 3)
    edges = torch.arange(-200.0, 201.0).repeat(1, 2, 1)
    mass = density.interval_probability(edges - 0.5, edges + 0.5)
    assert mass.detach().sum(2)[0].tolist() == pytest.approx([1, 1], abs=1e-5)
    far = torch.full((1, 2, 1), 60.0)
    density.interval_probability(far - 0.5, far + 0.5).log().sum().backward()
    assert all(bool(torch.isfinite(p.grad).all()) and float(p.grad.abs().sum()) > 0 for p in (density.means,))
    assert np.isfinite(mass.detach().numpy()).all()


def test_a_flow_prior_says_which_centers_it_takes() -> None:
    prior = FlowPrior(3, hidden=8)
    symbols = torch.randint(-9, 10, (50, 3), generator=torch.Generator().manual_seed(0))
    for center in (0.5, torch.tensor([0.5]), torch.tensor([0.5, 0.0, -0.5])):
        model = prior.entropy_model(symbols, center=center)
        assert model.passes == 3
    for shape in ((2,), (1, 3), (3, 1)):
        with pytest.raises(ValueError, match="the center is one number or 3, not"):
            prior.entropy_model(symbols, center=torch.zeros(shape))
    with pytest.raises(ValueError, match="the sample is empty"):
        prior.entropy_model(symbols[:0])
