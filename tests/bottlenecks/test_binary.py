"""LFQ, BSQ and sign codes: ids, entropies and errors (rows K1 to K5, K13 to K17; traps T1 to T8)."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from narrows.bottlenecks.bsq import BSQ, expected_cosine, pack, unpack  # noqa: E402
from narrows.bottlenecks.lfq import LFQ, soft_bit_entropy, usage_entropy  # noqa: E402
from narrows.bottlenecks.sign import Sign, least_sign_risk, sign_risk  # noqa: E402
from narrows.errors import OptionError, SignalError  # noqa: E402


def seeded(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("length", [1, 9, 18, 25, 28, 36, 63, 64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("kind", [BSQ, LFQ])
def test_t1_t2_t3_t7_ids_are_exact(kind: type, dtype: torch.dtype, length: int) -> None:
    code = kind(length).to(dtype)
    z = (100 * seeded(64, length, 2, 3)).to(dtype)
    z[:, 0] += 1e-3  # no vector is zero
    code.relax(z)
    code.eval()
    bits = code.quantize(z)
    assert torch.equal(code.decode(code.encode(bits), bits.shape), bits)
    ids = pack(bits)
    assert ids.shape == (64, 2, 3)
    expected = [
        int("".join("1" if v > 0 else "0" for v in column.tolist()), 2)
        for item in z
        for column in item.reshape(length, -1).T
    ]
    assert [int(i) for i in ids.numpy().reshape(-1)] == expected
    assert torch.equal(unpack(ids, length), bits)
    assert torch.equal(code.quantize(code.dequantize(bits)), bits)


@pytest.mark.parametrize(("length", "expected"), [(18, 131073), (28, 134217729), (64, 9223372036854775809)])
def test_k17_the_first_bit_is_the_most_significant(length: int, expected: int) -> None:
    bits = torch.zeros(1, length, dtype=torch.int64)
    bits[0, 0] = bits[0, -1] = 1
    assert int(pack(bits).numpy()[0]) == expected
    assert int(pack(torch.ones(1, 36, dtype=torch.int64)).numpy()[0]) == 68719476735


def test_bits_and_ids_outside_the_code_are_refused() -> None:
    with pytest.raises(ValueError, match="outside the code"):
        pack(torch.tensor([[0, 2]]))
    with pytest.raises(ValueError, match="1 to 64"):
        pack(torch.zeros(1, 65, dtype=torch.int64))
    with pytest.raises(ValueError, match="integers"):
        pack(torch.zeros(1, 4))
    with pytest.raises(ValueError, match="more than 4 bits"):
        unpack(torch.tensor([16]), 4)
    with pytest.raises(ValueError, match="more than 4 bits"):
        unpack(torch.tensor([-1]), 4)
    with pytest.raises(ValueError, match="outside the code"):
        BSQ(4).dequantize(torch.tensor([[0, 1, 0, -1]]))
    with pytest.raises(OptionError, match="power of two"):
        LFQ.of_size(1000)
    assert LFQ.of_size(1024).length == 10


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_no_bit_is_made_of_what_is_no_number(bad: float) -> None:
    z = torch.ones(1, 4)
    z[0, 2] = bad
    for code in (BSQ(4), LFQ(4), Sign(4)):
        with pytest.raises(SignalError, match="NaN"):
            code.quantize(z)
        with pytest.raises(SignalError, match="NaN"):
            code.relax(z)
        with pytest.raises(SignalError, match="empty"):
            code.quantize(torch.ones(0, 4))
        with pytest.raises(SignalError, match="batch, 4"):
            code.quantize(torch.ones(1, 5))


def test_a_zero_vector_has_no_direction_in_use_and_a_gradient_in_training() -> None:
    z = torch.zeros(1, 4, requires_grad=True)
    with pytest.raises(SignalError, match="direction"):
        BSQ(4).eval().quantize(z)
    relaxed = BSQ(4).relax(z)
    (relaxed.z_hat.sum() + relaxed.losses["entropy"]).backward()
    assert bool(torch.isfinite(z.grad).all())


def test_a_wide_code_takes_no_memory_for_its_codebook() -> None:
    """T8: 2**36 codes would be 10 TB."""
    relaxed = LFQ(36).relax(seeded(8, 36).float())
    assert relaxed.z_hat.shape == (8, 36)


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (2, 0.199367368), (8, 0.353707308), (9, 0.359375), (16, 0.379117583),
        (18, 0.381924308), (28, 0.389922195), (36, 0.393112015), (64, 0.397985469),
    ],
)  # fmt: skip
def test_k13_error_on_the_sphere(length: int, expected: float) -> None:
    assert 2 - 2 * expected_cosine(length) == pytest.approx(expected, abs=1e-8)
    z = seeded(20000, length)
    u = z / z.norm(dim=1, keepdim=True)
    code = BSQ(length).eval()
    error = (code.dequantize(code.quantize(z)).double() - u).square().sum(1)
    assert abs(float(error.mean()) - expected) < 4 * float(error.std()) / math.sqrt(len(z))


@pytest.mark.parametrize(
    ("length", "cosine", "error"), [(18, 0.809037846, 0.345457764), (36, 0.803443993, 0.354477751)]
)
def test_k14_the_rescaled_decoder(length: int, cosine: float, error: float) -> None:
    assert expected_cosine(length) == pytest.approx(cosine, abs=1e-8)
    z = seeded(20000, length)
    u = z / z.norm(dim=1, keepdim=True)
    code = BSQ(length, rescale=True).eval()
    found = (code.dequantize(code.quantize(z)).double() - u).square().sum(1)
    assert abs(float(found.mean()) - error) < 4 * float(found.std()) / math.sqrt(len(z))


@pytest.mark.parametrize(("length", "expected"), [(18, 1.528595), (36, 1.666667)])
def test_k14_the_worst_point_of_the_sphere(length: int, expected: float) -> None:
    axis = torch.zeros(1, length)
    axis[0, 0] = 1
    code = BSQ(length).eval()
    signs = code.dequantize(code.quantize(axis))
    assert float((signs - axis).square().sum()) == pytest.approx(expected, abs=1e-6)


def test_k15_soft_entropy_of_a_code() -> None:
    u = torch.tensor([0.5, -0.5, 0.1, -0.7], dtype=torch.float64)
    for tau, expected in ((1.0, 2.349938254), (10.0, 0.366345083)):
        p = torch.sigmoid(4 * tau * u / 2)
        assert float(soft_bit_entropy(p).sum()) == pytest.approx(expected, abs=1e-8)
        codes = torch.tensor(list(np.ndindex(2, 2, 2, 2)), dtype=torch.float64) - 0.5
        joint = torch.softmax(2 * tau * codes @ u, 0)
        assert float(-torch.special.xlogy(joint, joint).sum()) == pytest.approx(expected, abs=1e-8)
        # Of one item the usage is its own entropy, whatever the groups.
        for group in (1, 3, 4):
            assert float(usage_entropy(p[None], group)) == pytest.approx(expected, abs=1e-8)
        # The bottlenecks' own: BSQ's of a point of the sphere, LFQ's of the same logits.
        for code, z in ((BSQ(4, tau=tau), 3 * u), (LFQ(4, tau=tau), u / 2)):
            losses = code.relax(z.float()[None]).losses
            assert float(losses["entropy"]) == pytest.approx(expected, abs=1e-6)
            assert float(losses["usage"]) == pytest.approx(expected, abs=1e-6)
    sharp = BSQ(4, tau=100.0).relax(u.float()[None])
    assert 0 <= float(sharp.losses["entropy"]) < 1e-6


@pytest.mark.parametrize("size", [1.0, 30.0, 1e4])
def test_k15_sharp_bits_have_finite_gradients(size: float) -> None:
    """In float32 a logit of 20 is a probability of 1, where p log p has no slope."""
    for code in (LFQ(4), LFQ(4, tau=100.0), BSQ(4, tau=100.0)):
        z = (size * seeded(6, 4).float()).requires_grad_()
        losses = code.relax(z).losses
        (losses["entropy"] - losses["usage"]).backward()
        assert bool(torch.isfinite(z.grad).all())
    # All items alike: most codes have a mean probability of 0.
    z = torch.full((6, 4), size, requires_grad=True)
    (-LFQ(4, tau=100.0).relax(z).losses["usage"]).backward()
    assert bool(torch.isfinite(z.grad).all())


def test_usage_is_the_entropy_of_the_mean_distribution() -> None:
    p = torch.rand(50, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    codes = torch.tensor(list(np.ndindex(*[2] * 6)), dtype=torch.float64)
    joint = (codes * p[:, None] + (1 - codes) * (1 - p[:, None])).prod(2).mean(0)
    assert float(usage_entropy(p, 6)) == pytest.approx(float(-(joint * joint.log()).sum()), abs=1e-10)
    assert float(usage_entropy(p, 3)) > float(usage_entropy(p, 6))


def test_t30_use_gives_the_codes_themselves() -> None:
    z = seeded(100, 18).float()
    for code in (BSQ(18), LFQ(18), Sign(18)):
        code.relax(z)
        code.eval()
        relaxed = code.relax(z)
        assert torch.equal(relaxed.z_hat, code.dequantize(code.quantize(z)))
        assert torch.equal(relaxed.z_hat.abs().unique(), torch.tensor([code.scale]))


def test_the_gradient_of_a_sign_is_that_of_tanh() -> None:
    z = seeded(5, 3).float().requires_grad_()
    Sign(3, sharpness=1.5).relax(z).z_hat.sum().backward()
    assert torch.allclose(z.grad, 1.5 * (1 - torch.tanh(1.5 * z.detach()).square()), atol=1e-6)


def random_rows(bits: int, dim: int, seed: int = 0) -> torch.Tensor:
    q, _ = torch.linalg.qr(seeded(max(bits, dim), min(bits, dim), seed=seed))
    rows = q if bits >= dim else q.T
    return rows / rows.norm(dim=1, keepdim=True)


@pytest.mark.parametrize(("ratio", "expected"), [(0.25, 0.8408451), (0.5, 0.6816901), (1.0, 0.3633802)])
def test_k1_k2_risk_of_orthonormal_rows(ratio: float, expected: float) -> None:
    assert least_sign_risk(ratio) == pytest.approx(expected, abs=1e-6)
    assert float(sign_risk(random_rows(int(32 * ratio), 32))) == pytest.approx(expected, abs=1e-6)


def test_k3_risk_of_a_tight_frame() -> None:
    for ratio, expected in ((1.5, 0.2756410), (2.0, 0.2220309), (4.0, 0.1248790)):
        assert least_sign_risk(ratio) == pytest.approx(expected, abs=1e-6)
    q, _ = torch.linalg.qr(seeded(256, 128))
    rows = q * math.sqrt(2)
    rows = rows / rows.norm(dim=1, keepdim=True)
    assert float(sign_risk(rows)) == pytest.approx(0.22262, rel=0.01)


def test_k5_risk_of_fixed_rows_and_by_sampling() -> None:
    hadamard = torch.ones(1, 1, dtype=torch.float64)
    for _ in range(6):
        hadamard = torch.cat([torch.cat([hadamard, hadamard], 1), torch.cat([hadamard, -hadamard], 1)])
    both = torch.cat([torch.eye(64, dtype=torch.float64), hadamard / 8])
    assert float(sign_risk(both)) == pytest.approx(0.222823793, abs=1e-8)
    two = torch.tensor([[1, 0], [0.6, 0.8]], dtype=torch.float64)
    assert float(sign_risk(two)) == pytest.approx(0.423030547, abs=1e-8)
    x = seeded(200_000, 2)
    code = Sign(2).eval()
    values = code.dequantize(code.quantize(x @ two.T)).double()
    fit = torch.linalg.lstsq(values, x).solution
    assert float((values @ fit - x).square().mean()) == pytest.approx(0.42303, abs=0.004)
