"""Variational bounds against closed forms and numeric integrals (rows K23, K37, K10, K11, K16)."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from narrows.training.objectives import elbo, rate  # noqa: E402

X = 1.0
LOG_P = -1.515512123  # of x = 1 under z ~ N(0, 1), x | z ~ N(z, 1)


def log_weights(z: torch.Tensor, mean: torch.Tensor | float, deviation: torch.Tensor | float) -> torch.Tensor:
    prior, likelihood = torch.distributions.Normal(0.0, 1.0), torch.distributions.Normal(z, 1.0)
    q = torch.distributions.Normal(mean, deviation)
    return prior.log_prob(z) + likelihood.log_prob(torch.tensor(X).to(z)) - q.log_prob(z)


def grid(mean: float, deviation: float, points: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples of q on a fine grid and their weights, for expectations by sums."""
    z = mean + deviation * torch.linspace(-9, 9, points, dtype=torch.float64)
    mass = torch.exp(-((z - mean) ** 2) / (2 * deviation**2))
    return z, mass / mass.sum()


@pytest.mark.parametrize(
    ("mean", "deviation", "expected"),
    [
        (0.0, 1.0, (-1.918938533, -1.653473787)),
        (0.2, 0.8, (-1.622082085, -1.560075048)),
        (0.5, math.sqrt(0.5), (LOG_P, LOG_P)),
    ],
)
def test_k37_bounds_of_one_and_two_samples(
    mean: float, deviation: float, expected: tuple[float, float]
) -> None:
    z, mass = grid(mean, deviation, 1201)
    log_w = log_weights(z, mean, deviation)
    one = (mass * elbo.iwae(log_w[None])).sum()
    both = torch.stack(torch.meshgrid(log_w, log_w, indexing="ij"))
    two = (mass[:, None] * mass * elbo.iwae(both)).sum()
    assert float(one) == pytest.approx(expected[0], abs=1e-6)
    assert float(two) == pytest.approx(expected[1], abs=1e-6)
    half = (mass[:, None] * mass * elbo.ciwae(both, 0.5)).sum()
    assert float(half) == pytest.approx(sum(expected) / 2, abs=1e-6)


@pytest.mark.parametrize(
    ("mean", "deviation", "expected"),
    [
        (0.0, 1.0, -1.594066624),
        (0.2, 0.8, -1.543475460),
        (0.5, math.sqrt(0.5), LOG_P),
    ],
)
def test_k37_bound_of_three_samples(mean: float, deviation: float, expected: float) -> None:
    z, mass = grid(mean, deviation, 181)
    log_w = log_weights(z, mean, deviation)
    three = torch.stack(torch.meshgrid(log_w, log_w, log_w, indexing="ij"))
    weight = mass[:, None, None] * mass[:, None] * mass
    assert float((weight * elbo.iwae(three)).sum()) == pytest.approx(expected, abs=1e-6)


def test_k37_slopes_of_the_bound_of_two() -> None:
    mean = torch.tensor(0.2, dtype=torch.float64, requires_grad=True)
    log_s = torch.tensor(math.log(0.8), dtype=torch.float64, requires_grad=True)
    noise = torch.linspace(-9, 9, 1201, dtype=torch.float64)
    mass = torch.exp(-noise.square() / 2)
    mass = mass / mass.sum()
    log_w = log_weights(mean + log_s.exp() * noise, mean, log_s.exp())
    two = elbo.iwae(torch.stack(torch.meshgrid(log_w, log_w, indexing="ij")))
    found = torch.autograd.grad((mass[:, None] * mass * two).sum(), [mean, log_s], retain_graph=True)
    assert [float(g) for g in found] == pytest.approx([0.26395296, -0.04588863], abs=1e-7)
    one = torch.autograd.grad((mass * elbo.iwae(log_w[None])).sum(), [mean, log_s])
    assert [float(g) for g in one] == pytest.approx([0.6, -0.28], abs=1e-6)


def test_k37_the_mean_of_bounds_and_the_bound_of_all() -> None:
    log_w = torch.randn(3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    of_all, of_means = elbo.piwae(log_w)
    assert torch.allclose(of_means, elbo.miwae(log_w))
    assert torch.allclose(of_means, torch.stack([elbo.iwae(part) for part in log_w]).mean(0))
    assert torch.allclose(of_all, torch.logsumexp(log_w.reshape(12, 5), 0) - math.log(12))
    assert bool((of_all >= of_means).all())


def test_k37_both_encoder_gradients_are_those_of_the_bound() -> None:
    """DREG's and the standard estimate agree with the derivative of L2 at q = N(.2, .8^2)."""
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(2, 400_000, dtype=torch.float64, generator=generator)
    mean = torch.full((noise.shape[1],), 0.2, dtype=torch.float64, requires_grad=True)
    deviation = torch.tensor(0.8, dtype=torch.float64)
    z = mean + deviation * noise
    standard = torch.autograd.grad(elbo.iwae(log_weights(z, mean, deviation)).sum(), mean, retain_graph=True)[
        0
    ]
    reduced = torch.autograd.grad(elbo.dreg_surrogate(log_weights(z, mean.detach(), deviation)).sum(), mean)[
        0
    ]
    for estimate in (standard, reduced):
        error = estimate.std() / math.sqrt(len(estimate))
        assert abs(float(estimate.mean()) - 0.26395296) < 4 * float(error)
    assert 50 < float(standard.var() / reduced.var()) < 75


def test_k23_weights_of_infovae() -> None:
    assert elbo.infovae_weights(0.5, 10) == (0.5, 9.5)
    assert elbo.infovae_weights(0, 1) == (1, 0)
    assert elbo.infovae_weights(1, 7) == (0, 7)


def test_the_normal_decoder_and_beta() -> None:
    x, x_hat = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 2.0]])
    value = elbo.gaussian_log_likelihood(x, x_hat, 0.5)
    assert float(value) == pytest.approx(-1 - math.log(math.pi), abs=1e-6)
    assert float(elbo.elbo(value, torch.tensor(2.0), beta=3.0)) == pytest.approx(float(value) - 6)


def test_k10_the_best_rate_for_a_price() -> None:
    bits, distortion = rate.gaussian_optimum(0.1)
    assert (bits, distortion) == pytest.approx((1.896580861, 0.072134752), abs=1e-8)
    best = rate.lagrangian(
        torch.tensor(distortion, dtype=torch.float64), torch.tensor(bits, dtype=torch.float64), 0.1
    )
    assert float(best) == pytest.approx(0.261792838, abs=1e-8)
    for other in (bits - 0.1, bits + 0.1):
        assert 2 ** (-2 * other) + 0.1 * other > float(best)


@pytest.mark.parametrize(
    ("variances", "distortion", "level", "bits"),
    [
        ((4, 1, 0.25), 0.75, 0.25, 3.0),
        ((4, 1, 0.25, 0.25), 1.25, 0.375, 2.415037),
        ((4, 1, 0.5, 0.25), 1.25, 1 / 3, 2.877444),
    ],
)
def test_k11_reverse_water_filling(
    variances: tuple[float, ...], distortion: float, level: float, bits: float
) -> None:
    found = rate.water_filling(torch.tensor(variances), distortion)
    assert found == pytest.approx((level, bits), abs=1e-6)


def test_k16_information_of_soft_bits() -> None:
    p = torch.tensor([[0.9, 0.1], [0.8, 0.6], [0.2, 0.5]], dtype=torch.float64)
    assert float(-rate.soft_bit_information(p)) == pytest.approx(0.468096181, abs=1e-8)
    assert float(rate.soft_bit_information(p, gamma=0.0)) == pytest.approx(1.450932657, abs=1e-8)
