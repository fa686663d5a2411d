"""Sparse codes (rows K35, K36, K42; traps T17 to T21)."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from narrows.bottlenecks.sparse import (  # noqa: E402
    Sparse,
    largest,
    matching_pursuit,
    norm_count,
    support_bits,
)
from narrows.errors import OptionError, SignalError  # noqa: E402


def seeded(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_k35_t19_how_many_atoms_by_norm() -> None:
    a = torch.tensor([[3.0, 0, 2, 1, 0.5]])
    for length, expected in ((3.0, 1), (3.3, 1), (3.7, 3), (4.0, 4), (0.0, 0)):
        assert int(norm_count(a, torch.tensor([length]))) == expected
    # T19: all atoms can be chosen.
    assert int(norm_count(torch.ones(1, 4), torch.tensor([2.0]))) == 4


def test_k35_norms_agree_for_random_dictionaries() -> None:
    rng = torch.Generator().manual_seed(0)
    atoms = torch.nn.functional.normalize(torch.randn(1024, 256, generator=rng), dim=1)
    ratios = []
    for _ in range(400):
        active = torch.randperm(1024, generator=rng)[:16]
        z = torch.rand(16, generator=rng) + 0.5
        ratios.append(float(z.square().sum() / (z @ atoms[active]).square().sum()))
    mean = sum(ratios) / len(ratios)
    assert abs(mean - 1.003) < 4 * 0.080 / math.sqrt(400)


def test_k36_t20_t21_pursuit() -> None:
    atoms = torch.tensor([[1, 0], [0.6, 0.8], [0, 1]], dtype=torch.float64)
    x = torch.tensor([[1.0, 1.0]], dtype=torch.float64)
    one, two, more = (matching_pursuit(x, atoms, n) for n in (1, 2, 5))
    assert one[0].tolist() == pytest.approx([0, 1.4, 0], abs=1e-9)
    assert float((x - one @ atoms).square().sum()) == pytest.approx(0.04, abs=1e-9)
    assert two[0].tolist() == pytest.approx([0.16, 1.4, 0], abs=1e-9)
    assert float((x - two @ atoms).square().sum()) == pytest.approx(0.0144, abs=1e-9)
    assert torch.equal(two, more)


def test_t20_t21_the_error_falls_by_the_square_of_each_gain() -> None:
    code = Sparse(16, 64, 64, selection="pursuit", seed=1)
    with torch.no_grad():
        code.weight.mul_(2.5)  # T21: atoms have length 1 whatever the weights are
    vectors, atoms = seeded(20, 16, seed=2).double(), code.atoms.detach().double()
    assert torch.allclose(atoms.norm(dim=1), torch.ones(64, dtype=torch.float64), atol=1e-6)
    before = vectors.square().sum(1)
    for steps in range(1, 60):
        found = matching_pursuit(vectors, atoms, steps)
        error = (vectors - found @ atoms).square().sum(1)
        gain = (found - matching_pursuit(vectors, atoms, steps - 1)).sum(1)
        assert torch.allclose(before - error, gain.square(), atol=1e-9)
        before = error
    # T20: it does not stop where an atom comes again.
    found = matching_pursuit(vectors, atoms, 200)
    assert float(((vectors - found @ atoms).norm(dim=1) / vectors.norm(dim=1)).mean()) < 0.005


def test_pursuit_stops_at_its_tolerance() -> None:
    found = matching_pursuit(torch.tensor([[1.0, 0.05]]), torch.eye(2), 5, tolerance=0.1)
    assert found.tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize(
    ("atoms", "selected", "expected"),
    [
        (256, 77, 221.651600),
        (2048, 8, 72.681044),
        (2048, 32, 233.985528),
        (8192, 32, 298.249273),
        (1536, 16, 124.996168),
    ],
)
def test_k42_bits_of_a_support(atoms: int, selected: int, expected: float) -> None:
    assert support_bits(atoms, selected) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("atoms_selected", [(256, 77), (2048, 32), (8192, 32)])
def test_k42_tables_cost_little_more_than_the_support(atoms_selected: tuple[int, int]) -> None:
    """Flags cost log2(2 pi n p q) / 2 bits more than the choice of a set, and less where use is uneven."""
    atoms, selected = atoms_selected
    code = Sparse(2, atoms, selected).eval()
    share = selected / atoms
    symbols = torch.zeros(64, atoms, dtype=torch.int64)
    rng = torch.Generator().manual_seed(0)
    for row in symbols:
        row[torch.randperm(atoms, generator=rng)[:selected]] = 1
    code.flags.counts[:, 0], code.flags.counts[:, 1] = 1e5 * (1 - share), 1e5 * share
    code.sizes.counts[0, 0] = 1e9
    excess = math.log2(2 * math.pi * atoms * share * (1 - share)) / 2
    cost = float(code.rate_bits(symbols).mean())
    assert cost == pytest.approx(support_bits(atoms, selected) + excess, rel=0.01)
    assert cost < 1.03 * support_bits(atoms, selected)


@pytest.mark.parametrize("selection", ["top-k", "norm", "pursuit"])
def test_symbols_decode_to_what_was_selected(selection: str) -> None:
    code = Sparse(8, 64, 6, step=0.01, selection=selection, seed=3).eval()
    z = seeded(5, 8, 4)
    symbols = code.quantize(z)
    assert symbols.shape == (5, 64, 4)
    assert bool((symbols >= 0).all())
    if selection != "norm":
        assert int((symbols > 0).sum(1).max()) <= 6
    by_hand = code.magnitudes(z).movedim(1, -1) @ code.atoms + code.bias
    assert torch.allclose(code.dequantize(symbols).movedim(1, -1), by_hand, atol=0.05)
    assert torch.equal(code.relax(z).z_hat, code.dequantize(symbols))


def test_t17_ties_go_to_the_lower_atom_and_nothing_is_overwritten() -> None:
    a = torch.tensor([[1.0, 2.0, 1.0, 2.0]])
    kept = largest(a, 3)
    assert kept.tolist() == [[1, 2, 0, 2]]
    assert a.tolist() == [[1, 2, 1, 2]]  # T17


def test_t18_counters_move_once_a_training_step_and_not_in_use() -> None:
    code = Sparse(4, 16, 2, seed=0)
    z = seeded(1, 4)
    for _ in range(3):
        code.relax(z)
    assert sorted(code.steps_silent.unique().tolist()) == [0, 3]
    code.eval()
    code.relax(z)
    assert int(code.steps_silent.max()) == 3


def test_dead_atoms_come_back_through_their_loss() -> None:
    code = Sparse(4, 16, 2, seed=0)
    z = seeded(8, 4)
    assert float(code.auxiliary_loss(z)) == 0
    code.steps_silent.fill_(31)
    assert code.auxiliary_loss(z, most=0).item() == pytest.approx(1)  # T18: none is legal too
    code.auxiliary_loss(z).backward()
    assert float(code.weight.grad.abs().sum()) > 0


def test_training_lowers_the_error() -> None:
    rng = torch.Generator().manual_seed(4)
    truth = torch.nn.functional.normalize(torch.randn(24, 12, generator=rng), dim=1)
    picks = (torch.rand(2000, 24, generator=rng) < 0.08).float() * (torch.rand(2000, 24, generator=rng) + 0.5)
    data = picks @ truth
    code = Sparse(12, 48, 4, step=0.02, seed=5)
    optimizer = torch.optim.Adam(code.parameters(), 0.02)
    errors = []
    for step in range(150):
        optimizer.zero_grad()
        loss = code.relax(data[torch.arange(256) + 256 * (step % 7)]).losses["reconstruction"]
        loss.backward()
        optimizer.step()
        errors.append(loss.item())
    assert errors[-1] < errors[0] / 3


def test_bad_options_and_latents() -> None:
    for arguments in ((4, 8, 0), (4, 8, 9), (0, 8, 1)):
        with pytest.raises(OptionError, match="k is 1"):
            Sparse(*arguments)
    with pytest.raises(OptionError, match="selection"):
        Sparse(4, 8, 2, selection="lasso")
    with pytest.raises(SignalError, match="NaN"):
        Sparse(2, 8, 2).quantize(torch.tensor([[math.nan, 0]]))
    with pytest.raises(ValueError, match="selected"):
        support_bits(4, 5)
