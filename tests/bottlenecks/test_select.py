"""Token selection (row K27 for its noise, K42 for the price of a choice)."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch")

from narrows.bottlenecks.bottleneck import Bottleneck  # noqa: E402
from narrows.bottlenecks.fsq import FSQ  # noqa: E402
from narrows.bottlenecks.select import Select  # noqa: E402
from narrows.bottlenecks.sparse import Sparse, support_bits  # noqa: E402
from narrows.bottlenecks.staircase import Staircase  # noqa: E402
from narrows.errors import OptionError  # noqa: E402


def test_kept_positions_are_coded_and_the_rest_is_filled() -> None:
    code = Select(FSQ([5, 5])).eval()
    code.fill.data.copy_(torch.tensor([7.0, -7.0]))
    z = torch.tensor([[[9.0, 9.0, -9.0], [0.0, -9.0, 9.0], [1.0, -1.0, 0.5]]])
    symbols = code.quantize(z)
    assert symbols.tolist() == [[[1, 0, 1], [4, 0, 0], [2, 0, 4]]]
    assert code.dequantize(symbols).tolist() == [[[1, 7, -1], [0, -7, 1]]]


def test_dropped_positions_hold_zeros() -> None:
    """Else two arrays of symbols would be one picture, and a file would lose what one of them said."""
    code = Select(FSQ([5, 5])).eval()
    symbols = torch.tensor([[[1, 0, 1], [4, 0, 0], [2, 0, 4]]])
    for row in (1, 2):
        wrong = symbols.clone()
        wrong[0, row, 1] = 3
        with pytest.raises(ValueError, match="position is dropped"):
            code.dequantize(wrong)
        with pytest.raises(ValueError):
            code.encode(wrong)
    wrong = symbols.clone()
    wrong[0, 1, 0] = 5
    with pytest.raises(ValueError, match="outside the code"):
        code.dequantize(wrong)
    assert torch.equal(code.decode(code.encode(symbols), symbols.shape), symbols)


@pytest.mark.parametrize(
    "make",
    [lambda: Sparse(4, 8, 2), lambda: Staircase(4), lambda: Select(FSQ([5]))],
    ids=["sparse", "staircase", "select"],
)
def test_what_has_several_tables_a_row_cannot_be_selected(make: Callable[[], Bottleneck]) -> None:
    with pytest.raises(OptionError, match="more than its rows"):
        Select(make())


def test_one_position_is_always_kept_and_a_budget_is_held() -> None:
    z = torch.randn(3, 2, 40, generator=torch.Generator().manual_seed(0))
    z[:, 1] -= 10
    assert Select(FSQ([5])).eval().quantize(z)[:, 0].sum(1).tolist() == [1, 1, 1]
    for keep in (1, 7, 40, 100):
        kept = Select(FSQ([5]), keep=keep).eval().quantize(z)[:, 0].sum(1)
        assert kept.tolist() == [min(keep, 40)] * 3


@pytest.mark.parametrize("temperature", [1.0, 0.1])
def test_k27_logistic_noise_keeps_by_the_logit(temperature: float) -> None:
    code = Select(FSQ([5]), temperature=temperature, seed=1)
    for logit, expected in ((0.0, 0.5), (1.0, 0.731058579), (-2.0, 0.119202922)):
        z = torch.zeros(1, 2, 20000)
        z[:, 1] = logit
        kept = float(code.relax(z).losses["kept"].detach())
        assert kept == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 20000))


def test_training_learns_what_to_drop() -> None:
    """Half of the positions hold what the filling says anyhow: they are dropped, the others kept."""
    rng = torch.Generator().manual_seed(2)
    code = Select(FSQ([9]), temperature=0.5, seed=3)
    useful = (torch.arange(64) % 2).float()
    logits = torch.zeros(64, requires_grad=True)
    optimizer = torch.optim.Adam([logits, *code.parameters()], 0.1)
    for _ in range(150):
        x = useful * torch.sign(torch.randn(16, 64, generator=rng))
        z = torch.stack([3 * x, logits.expand(16, 64)], 1)
        relaxed = code.relax(z)
        loss = (relaxed.z_hat[:, 0] - x).square().mean() + 0.2 * relaxed.losses["kept"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.equal(logits.detach() > 0, useful > 0)


def test_k42_flags_cost_what_the_choice_does() -> None:
    code = Select(FSQ([2]), keep=77).eval()
    code.flags.counts.copy_(torch.tensor([[1e6 * (1 - 77 / 256), 1e6 * 77 / 256]]))
    rng = torch.Generator().manual_seed(4)
    z = torch.randn(50, 2, 256, generator=rng)
    flags_alone = float(code.rate_bits(code.quantize(z)).mean()) - 77
    assert flags_alone == pytest.approx(225.854412, abs=0.1)
    assert flags_alone < 1.02 * support_bits(256, 77)
