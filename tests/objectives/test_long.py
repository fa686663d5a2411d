"""Rows that take seconds of sampling or training (K4, K32, K38): `make test-all`."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from narrows.bottlenecks.sign import Sign, sign_risk  # noqa: E402
from narrows.training.objectives import elbo  # noqa: E402
from narrows.training.objectives.correlation import canonical_correlations  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("bits", "expected"), [(16, 0.6816901), (32, 0.3633802), (64, 0.22306)])
def test_k4_descent_on_the_risk_finds_the_best_rows(bits: int, expected: float) -> None:
    rows = torch.randn(
        bits, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    ).requires_grad_()
    optimizer = torch.optim.Adam([rows], 0.05)
    for _ in range(600):
        optimizer.zero_grad()
        risk = sign_risk(torch.nn.functional.normalize(rows, dim=1))
        risk.backward()
        optimizer.step()
    assert risk.item() == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(("bits", "expected"), [(16, 0.6813), (32, 0.3634), (64, 0.2237)])
def test_k4_training_through_signs_finds_them_too(bits: int, expected: float) -> None:
    rng = torch.Generator().manual_seed(1)
    code = Sign(bits)
    rows = torch.randn(bits, 32, generator=rng).requires_grad_()
    back = (0.1 * torch.randn(bits, 32, generator=rng)).requires_grad_()
    optimizer = torch.optim.Adam([rows, back], 3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3000)
    for _ in range(3000):
        x = torch.randn(512, 32, generator=rng)
        z = x @ torch.nn.functional.normalize(rows, dim=1).T
        loss = (code.relax(z).z_hat @ back - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    code.eval()
    with torch.no_grad():
        x = torch.randn(100_000, 32, generator=rng)
        z = x @ torch.nn.functional.normalize(rows, dim=1).T
        error = (code.relax(z).z_hat @ back - x).square().mean()
    assert error.item() == pytest.approx(expected, rel=0.02)


def test_k32_correlations_of_noise() -> None:
    rng = torch.Generator().manual_seed(2)
    draws = torch.stack(
        [
            canonical_correlations(
                torch.randn(101, 5, dtype=torch.float64, generator=rng),
                torch.randn(101, 5, dtype=torch.float64, generator=rng),
                0.0,
            )
            for _ in range(4000)
        ]
    )
    for found, expected in ((draws.square().sum(1), 0.25), (draws.sum(1), 0.929)):
        error = 4 * float(found.std()) / math.sqrt(len(found))
        assert float(found.mean()) == pytest.approx(expected, abs=error + 5e-4)


def test_k38_signal_to_noise_of_the_gradients() -> None:
    """x = 1 under z ~ N(theta, 1), x | z ~ N(z, 1), theta = 0, q = N(.3, 2/3): slopes against K."""
    rng = torch.Generator().manual_seed(3)
    deviation = math.sqrt(2 / 3)

    def gradients(samples: int, draws: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        noise = torch.randn(samples, draws, dtype=torch.float64, generator=rng)
        mean = torch.full((draws,), 0.3, dtype=torch.float64, requires_grad=True)
        theta = torch.zeros(draws, dtype=torch.float64, requires_grad=True)
        z = mean + deviation * noise

        def log_weights(q_mean: torch.Tensor) -> torch.Tensor:
            prior = -((z - theta) ** 2) / 2
            likelihood = -((1 - z) ** 2) / 2
            q = -((z - q_mean) ** 2) / (2 * deviation**2)
            return prior + likelihood - q

        standard = torch.autograd.grad(elbo.iwae(log_weights(mean)).sum(), [mean, theta], retain_graph=True)
        reduced = torch.autograd.grad(elbo.dreg_surrogate(log_weights(mean.detach())).sum(), mean)[0]
        return standard[0], reduced, standard[1]

    sizes = (8, 16, 32, 64)
    ratios = []
    for samples in sizes:
        parts = [gradients(samples, 20_000) for _ in range(25)]
        ratios.append(
            [abs(float(g.mean() / g.std())) for g in (torch.cat(p) for p in zip(*parts, strict=True))]
        )
    assert ratios[-1][0] == pytest.approx(0.0244, abs=0.006)
    assert ratios[-1][1:] == pytest.approx([6.15, 5.92], rel=0.03)
    logs = torch.tensor(ratios, dtype=torch.float64).log()
    against = torch.tensor(sizes, dtype=torch.float64).log()
    centered = against - against.mean()
    slopes = (centered[:, None] * logs).sum(0) / centered.square().sum()
    assert slopes.tolist() == pytest.approx([-0.49, 0.50, 0.52], abs=0.06)
