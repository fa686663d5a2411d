"""Objectives at fixed inputs (rows K28 to K34, K48, K53, K56, K57, K64, K65)."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from narrows.bottlenecks.sparse import Sparse, largest  # noqa: E402
from narrows.training.objectives import (  # noqa: E402
    balance,
    coding_rate,
    consistency,
    contrast,
    correlation,
    denoise,
    spread,
)

Z = torch.tensor([[1, 0, 0.6, 0], [0, 1, 0.8, 0], [0, 0, 0, 1]], dtype=torch.float64)
BASES = (torch.eye(3, dtype=torch.float64)[:, :2], torch.eye(3, dtype=torch.float64)[:, 2:])


def doubles(rows: object) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def test_k30_coding_rate_and_its_reduction() -> None:
    assert float(coding_rate.coding_rate(Z, 0.5)) == pytest.approx(2.359249436, abs=1e-8)
    assert float(coding_rate.coding_rate(Z, 0.1)) == pytest.approx(6.839373259, abs=1e-8)
    assert float(coding_rate.compressed_rate(Z, BASES, 0.5)) == pytest.approx(1.700598691, abs=1e-8)
    assert float(coding_rate.sparse_rate_reduction(Z, BASES, 0.5, 0.1)) == pytest.approx(
        0.218650745, abs=1e-8
    )
    wide = torch.randn(3, 7, dtype=torch.float64)
    tall = wide.T.contiguous()
    gram = 0.5 * torch.logdet(torch.eye(3, dtype=torch.float64) + 3 / (7 * 0.25) * wide @ wide.T)
    assert float(coding_rate.coding_rate(wide, 0.5)) == pytest.approx(float(gram), abs=1e-10)
    assert float(coding_rate.coding_rate(tall, 0.5)) == pytest.approx(
        float(0.5 * torch.logdet(torch.eye(7, dtype=torch.float64) + 7 / (3 * 0.25) * tall @ tall.T)),
        abs=1e-10,
    )


def test_k30_gradient_of_the_compressed_rate() -> None:
    z = Z.clone().requires_grad_()
    coding_rate.compressed_rate(z, BASES, 0.5).backward()
    expected = doubles([[0.570666667, -0.128, 0.24, 0], [-0.128, 0.496, 0.32, 0], [0, 0, 0, 0.5]])
    assert torch.allclose(z.grad, expected, atol=1e-8)


def test_k31_rate_by_class() -> None:
    by_class = coding_rate.class_rate(Z, torch.tensor([0, 0, 1, 1]), 0.5)
    assert float(by_class) == pytest.approx(math.log(7), abs=1e-8)
    assert float(coding_rate.coding_rate(Z, 0.5) - by_class) == pytest.approx(0.413339287, abs=1e-8)


def test_k28_the_bias_of_spacings() -> None:
    for items, expected in ((64, -0.056088033), (256, -0.029628607), (1024, -0.015218488)):
        assert spread.spacing_bias(items) == pytest.approx(expected, abs=1e-8)
    uniform = torch.rand(256, 4000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = spread.spacing_entropy(uniform, least=0.0)
    assert abs(float(found.mean()) - spread.spacing_bias(256)) < 4 * 0.0163 / math.sqrt(4000)


def test_k29_spacing_entropy_and_the_loss() -> None:
    ramp = doubles([i / 65 for i in range(1, 65)])[:, None]
    assert float(spread.spacing_entropy(ramp, least=0.0)) == pytest.approx(0, abs=1e-8)
    squares = doubles([(i / 10) ** 2 for i in range(1, 10)])[:, None]
    assert float(spread.spacing_entropy(squares, 3, least=0.0)) == pytest.approx(-0.065340515, abs=1e-8)
    constant = torch.full((64, 1), 0.5, dtype=torch.float64)
    assert float(spread.spacing_entropy(constant)) == pytest.approx(-16.118095651, abs=1e-8)
    rows = doubles(
        [(-2, 1), (-1, -0.5), (0, 2), (0.5, 0), (1, -1), (2, 0.3), (0.2, 0.7), (-0.4, -2), (1.5, 0.1)]
    )
    found = spread.spacing_entropy(torch.sigmoid(rows), 3, least=0.0)
    assert found.tolist() == pytest.approx([-0.109445179, -0.212385371], abs=1e-8)
    loss = spread.spread_loss(rows, spacing=3, least=0.0)
    assert float(loss) == pytest.approx(1.609174312, abs=1e-8)
    assert float(spread.correlation_penalty(torch.sigmoid(rows))) == pytest.approx(2.1560e-5, abs=1e-9)


def test_k33_t25_canonical_correlations() -> None:
    a = doubles([(1, 2), (2, 0), (3, 5), (4, 1), (0, 3), (5, 2)])
    b = doubles([(2, 1), (1, 1), (4, 0), (3, 2), (1, 2), (6, 0)])
    assert correlation.canonical_correlations(a, b, 0.0).tolist() == pytest.approx(
        [0.939976710, 0.273171229], abs=1e-8
    )
    for ridge, expected in ((0.0, 1.213147938), (1e-4, 1.213079266), (0.1, 1.152109475)):
        assert float(-correlation.correlation_loss(a, b, ridge=ridge)) == pytest.approx(expected, abs=1e-8)
    assert float(-correlation.correlation_loss(a, a, ridge=0.0)) == pytest.approx(2, abs=1e-8)
    assert float(-correlation.correlation_loss(a, a, ridge=0.1)) == pytest.approx(1.939117199, abs=1e-8)
    # T25: the largest, not the smallest, are summed.
    assert float(-correlation.correlation_loss(a, b, top=1, ridge=0.0)) == pytest.approx(
        0.939976710, abs=1e-8
    )


def test_the_gradient_of_equal_correlations_is_finite() -> None:
    a = torch.eye(4, dtype=torch.float64)[:, :3].requires_grad_()
    correlation.correlation_loss(a, a, ridge=0.1).backward()
    assert bool(torch.isfinite(a.grad).all())


def test_k34_score_and_contraction() -> None:
    x = doubles([0.7])
    # The best denoiser of N(0, s^2) is x s^2 / (s^2 + sigma^2); a fit by least squares finds it.
    for deviation, sigma, slope, of_score, error in (
        (1.0, 0.5, 0.8, -0.8, 0.2),
        (2.0, 0.1, 0.997506234, -0.249376559, 0.009975062),
    ):
        assert float(denoise.score(x, slope * x, sigma)) == pytest.approx(of_score * 0.7, abs=1e-7)
        rng = torch.Generator().manual_seed(0)
        clean = deviation * torch.randn(400_000, 1, dtype=torch.float64, generator=rng)
        noisy = clean + sigma * torch.randn(400_000, 1, dtype=torch.float64, generator=rng)
        fit = torch.linalg.lstsq(noisy, clean).solution
        assert fit.item() == pytest.approx(slope, rel=0.01)
        assert float((noisy @ fit - clean).square().mean()) == pytest.approx(error, rel=0.01)
    weight, bias = doubles([[1, -1], [0.5, 2], [0, 1]]), doubles([0, 0.1, -0.2])
    point = doubles([0.3, -0.6])
    hidden = torch.sigmoid(weight @ point + bias)
    assert float(denoise.sigmoid_contraction(hidden[None], weight)) == pytest.approx(0.302107062, abs=1e-8)
    points = torch.stack([point, 0 * point])
    exact = denoise.contraction(lambda v: torch.sigmoid(weight @ v + bias), points)
    assert float(exact[0]) == pytest.approx(0.302107062, abs=1e-8)
    assert float(exact[1]) == pytest.approx(
        float(denoise.sigmoid_contraction(torch.sigmoid(bias)[None], weight)), abs=1e-12
    )
    jacobian = torch.autograd.functional.jacobian(lambda v: torch.sigmoid(weight @ v + bias), point)
    assert float(jacobian.square().sum()) == pytest.approx(0.302107062, abs=1e-8)


def test_k65_masked_and_noised() -> None:
    mask = doubles([1, 1, 0, 0])
    loss = denoise.masked_denoising(2 * mask, mask, 1 - mask, 3 * mask, mask, 0.5)
    assert float(loss) == pytest.approx(4.5, abs=1e-12)
    nothing_hidden = denoise.masked_denoising(2 * mask, 0 * mask, 1 - mask, 3 * mask, mask, 0.5)
    assert float(nothing_hidden) == pytest.approx(2.5, abs=1e-12)


def test_k48_latent_consistency() -> None:
    encoder = torch.nn.Linear(1, 1, bias=False).double()
    torch.nn.init.constant_(encoder.weight, 0.8)
    x = torch.randn(400_000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert consistency.latent_consistency(encoder, encoder(x), x).item() == 0
    z = encoder(x)
    loss = consistency.latent_consistency(encoder, z, z)  # the decoder is 1 * z
    loss.backward()
    assert loss.item() == pytest.approx(0.0256, rel=0.01)
    constant = torch.nn.Linear(1, 1).double()
    torch.nn.init.zeros_(constant.weight)
    assert consistency.latent_consistency(constant, constant(x), 0 * x).item() == 0
    # Frozen: the gradient reaches the encoder only through the reconstruction.
    scale = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    expected = ((0.8 * x).detach() - 0.8 * (scale * x)).square().mean()
    expected.backward()
    assert float(encoder.weight.grad) == pytest.approx(float(scale.grad), rel=1e-9)


def test_predictions_are_compared_with_later_frames() -> None:
    frames = torch.arange(10.0).reshape(1, 1, 10)
    assert float(consistency.prediction_loss(lambda x: x + 3, frames, 3)) == 0
    assert float(consistency.prediction_loss(lambda x: x, frames, 3)) == 3
    with pytest.raises(ValueError, match="steps"):
        consistency.prediction_loss(lambda x: x, frames, 10)


def test_k53_mean_absolute_correlation() -> None:
    a, b = doubles([(1, 2, 3, 4), (2, 1, 0, 3)]), doubles([(2, 1, 4, 3), (0, 1, 1, 5)])
    assert float(contrast.mean_absolute_correlation(a, b)) == pytest.approx(0.620222380, abs=1e-8)


def test_k56_contrast_at_fixed_codes() -> None:
    a = doubles([(3, 1, 0, 0), (0, 2, 2, 0), (0, 0, 1, 4)])
    b = doubles([(2, 0, 1, 0), (0, 1, 3, 0), (1, 0, 0, 2)])
    assert float(contrast.nt_xent(a, b, 0.2)) == pytest.approx(0.173888223, abs=1e-8)
    assert float(contrast.nt_xent(a, b, 1.0)) == pytest.approx(1.121556158, abs=1e-8)


def test_csr_is_the_weighted_sum_of_its_parts() -> None:
    code = Sparse(6, 24, 2, seed=1)
    rng = torch.Generator().manual_seed(0)
    a = torch.randn(12, 6, generator=rng)
    b = a + 0.1 * torch.randn(12, 6, generator=rng)
    code.steps_silent[:5] = 100
    parts = [
        (code.decode_magnitudes(largest(torch.relu(a @ code.atoms.T), k)) - a).square().mean() for k in (2, 8)
    ]
    dead = code.auxiliary_loss(a)
    views = [largest(torch.relu(v @ code.atoms.T), 2) for v in (a, b)]
    expected = parts[0] + parts[1] / 8 + dead / 32 + 0.1 * contrast.nt_xent(*views, 0.2)
    code.step = 1e-7  # rounding aside
    found = contrast.csr_loss(code, a, b)
    # A step has been counted: atoms that spoke are no longer dead.
    still = code.auxiliary_loss(a)
    assert (found - still / 32).item() == pytest.approx((expected - dead / 32).item(), abs=1e-5)
    found.backward()
    assert bool(torch.isfinite(code.weight.grad).all())


def test_k57_contrast_of_orthogonal_and_of_equal_views() -> None:
    views = torch.eye(3, dtype=torch.float64)
    for temperature, expected in ((0.2, 0.026594985), (1.0, 0.904832442)):
        assert float(contrast.nt_xent(views, views, temperature)) == pytest.approx(expected, abs=1e-8)
    same = torch.ones(3, 4, dtype=torch.float64)
    assert float(contrast.nt_xent(same, same)) == pytest.approx(math.log(5), abs=1e-8)


def test_k64_gradients_in_balance() -> None:
    theta = torch.tensor(2.0, requires_grad=True)
    balanced = balance.GradientBalance()
    for _ in range(3):
        weight = balanced(50 * theta**2, (theta - 1) ** 2 / 2, [theta])
        assert float(weight) == pytest.approx(200, rel=1e-6)
    assert balance.value_weights([0.5, 4.0]) == [2.0, 0.25]
    with pytest.raises(ValueError, match="above zero"):
        balance.value_weights([0.0])


def test_k60_score_of_a_mixture() -> None:
    """Half N(-2, .25), half N(2, .25) under noise of .3: the posterior mean by its closed form, at x = .7."""
    sigma, x = 0.3, torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    variance = 0.25 + sigma**2

    def log_density(at: torch.Tensor) -> torch.Tensor:
        parts = torch.stack([-((at - center) ** 2) / (2 * variance) for center in (-2.0, 2.0)])
        return torch.logsumexp(parts, 0)

    weights = torch.softmax(torch.stack([-((x - c) ** 2) / (2 * variance) for c in (-2.0, 2.0)]), 0)
    means = torch.stack([c + 0.25 / variance * (x - c) for c in (-2.0, 2.0)])
    denoised = (weights * means).sum()
    assert denoised.item() == pytest.approx(1.043836997, abs=1e-8)
    found = denoise.score(x, denoised, sigma)
    assert found.item() == pytest.approx(3.820411074, abs=1e-7)
    (exact,) = torch.autograd.grad(log_density(x), x)
    assert found.item() == pytest.approx(exact.item(), abs=1e-9)
