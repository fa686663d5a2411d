"""The CRATE block's two steps at fixed inputs (row K31), and its decoder twin (trap T15)."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from narrows.errors import OptionError  # noqa: E402
from narrows.nets.crate import CrateBlock, CrateDecoderBlock, ista_step, subspace_attention  # noqa: E402


def doubles(rows: object) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def test_k31_one_proximal_step() -> None:
    found = ista_step(doubles([[[1], [0.5]]]), doubles([[1, 0.6], [0, 0.8]]))
    assert found[0, :, 0].tolist() == pytest.approx([0.96, 0.48], abs=1e-12)


def test_k31_attention_in_one_subspace() -> None:
    found = subspace_attention(doubles([[[1, 0, 1], [0, 1, 1]]]), torch.eye(2, dtype=torch.float64), 1)
    assert found[0, 0].tolist() == pytest.approx([0.844637597, 0.577681202, 0.788058442], abs=1e-8)
    assert found[0, 1].tolist() == pytest.approx([0.577681202, 0.844637597, 0.788058442], abs=1e-8)


def test_subspaces_add_up() -> None:
    rng = torch.Generator().manual_seed(0)
    z, basis = torch.randn(2, 6, 5, generator=rng), torch.randn(6, 6, generator=rng)
    both = subspace_attention(z, basis, 2)
    apart = subspace_attention(z, basis[:, :3], 1) + subspace_attention(z, basis[:, 3:], 1)
    assert torch.allclose(both, apart, atol=1e-5)


def test_repeated_steps_reach_a_sparse_code() -> None:
    """With an orthonormal dictionary the fixed point keeps what is above the threshold."""
    z = doubles([[[2.0], [0.01], [-1.0]]])
    identity = torch.eye(3, dtype=torch.float64)
    for _ in range(50):
        z = ista_step(z, identity, 0.1, 0.1)
    assert z[0, :, 0].tolist() == pytest.approx([1.5, 0, 0], abs=1e-9)


@pytest.mark.parametrize("block", [CrateBlock(8, 2), CrateDecoderBlock(8, 2)], ids=["encoder", "decoder"])
def test_blocks_keep_shape_and_train_every_parameter(block: torch.nn.Module) -> None:
    z = torch.randn(2, 8, 5, generator=torch.Generator().manual_seed(1)).requires_grad_()
    out = block(z)
    assert out.shape == z.shape
    out.square().sum().backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in block.parameters())
    swapped = block(z.detach()[..., [1, 0, 2, 3, 4]])
    assert torch.allclose(swapped, out.detach()[..., [1, 0, 2, 3, 4]], atol=1e-5)


def test_heads_must_share_evenly() -> None:
    for block in (CrateBlock, CrateDecoderBlock):
        with pytest.raises(OptionError, match="evenly"):
            block(8, 3)
