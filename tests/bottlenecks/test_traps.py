"""Mistakes of published code, by their numbers in the project's list, that would fail here."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="bottlenecks are torch modules")
from torch import nn  # noqa: E402

from narrows.bottlenecks.bsq import BSQ  # noqa: E402
from narrows.bottlenecks.rvq import RVQ  # noqa: E402
from narrows.bottlenecks.scalar import Scalar  # noqa: E402
from narrows.bottlenecks.vq import VQ, GumbelVQ  # noqa: E402
from narrows.bottlenecks.wavelet import Companded  # noqa: E402
from narrows.nets.crate import ista_step  # noqa: E402
from narrows.nets.wavelet_packet import inverse_packet, packet  # noqa: E402
from narrows.training.objectives import coding_rate, contrast, spread  # noqa: E402


def seeded(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_t4_t5_t6_every_mode_layout_and_precision_works(dtype: torch.dtype) -> None:
    code = BSQ(18)
    z = seeded(2, 18, 3, 5).to(dtype)
    for training in (True, False):
        relaxed = code.train(training).relax(z)
        assert relaxed.z_hat.shape == z.shape
        assert set(relaxed.losses) == ({"entropy", "usage"} if training else set())
    bits = code.quantize(z)
    assert code.dequantize(bits).shape == (2, 18, 3, 5)
    assert torch.equal(code.dequantize(bits.flatten(2)), code.dequantize(bits).flatten(2))


def test_t10_a_line_keeps_its_length() -> None:
    x = seeded(2, 1, 64)
    bands = packet(x, 3)
    latent = nn.Conv1d(8, 5, 1)(bands)
    assert latent.shape[2] == bands.shape[2] == 8
    assert inverse_packet(bands, 3).shape == x.shape


def test_t11_symbols_above_eight_bits_survive_bytes() -> None:
    code = Companded(1, bits=12)
    code.relax(300 * seeded(4, 1, 500))
    code.eval()
    symbols = torch.tensor([[[300, -300, 2047, -2047, 44, 0]]])
    assert torch.equal(code.decode(code.encode(symbols), symbols.shape), symbols)


def test_t14_the_error_is_epsilon_and_vectors_keep_their_length() -> None:
    z = seeded(4, 30).double()
    base = float(coding_rate.coding_rate(z, 0.5))
    assert float(coding_rate.coding_rate(2 * z, 1.0)) == pytest.approx(base, abs=1e-10)
    gram = torch.eye(4, dtype=torch.float64) + 4 / (30 * 0.5**2) * z @ z.T
    assert base == pytest.approx(float(torch.logdet(gram)) / 2, abs=1e-10)


def test_t15_the_step_and_the_threshold_are_in_use() -> None:
    z, dictionary = seeded(1, 4, 6), seeded(4, 4, seed=1)
    plain = ista_step(z, dictionary, 0.1, 0.1)
    assert not torch.equal(plain, ista_step(z, dictionary, 0.2, 0.1))
    sparser = ista_step(z, dictionary, 0.1, 5.0)
    assert int((sparser > 0).sum()) < int((plain > 0).sum())
    assert bool((plain >= 0).all())


def test_t16_contrast_of_two_views_pulls_them_together() -> None:
    first = nn.functional.normalize(seeded(8, 6), dim=1)
    second = (first + 0.5 * seeded(8, 6, seed=1)).requires_grad_()
    loss = contrast.nt_xent(first, second)
    (gradient,) = torch.autograd.grad(loss, second)
    second = second.detach()
    moved = second - 0.1 * gradient
    before = nn.functional.cosine_similarity(first, second).mean()
    assert float(nn.functional.cosine_similarity(first, moved).mean()) > float(before)
    # The same pass twice: a view that cannot come closer, so nothing but repulsion is left.
    same = first.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(contrast.nt_xent(same, same), same)
    apart = same.detach() - 0.1 * gradient
    assert float((nn.functional.normalize(apart, dim=1) @ nn.functional.normalize(apart, dim=1).T).mean()) < (
        float((first @ first.T).mean())
    )


def test_t22_running_values_begin_with_the_first_batch() -> None:
    code = Scalar(3)
    z = 40 + seeded(5, 3, 50)
    code.relax(z)
    assert code.center.tolist() == pytest.approx(z.mean((0, 2)).tolist(), abs=1e-4)


def test_t27_sums_are_the_look_ups_and_tables_follow_the_weights() -> None:
    code = RVQ(3, 16, 4, seed=1)
    for step in range(5):
        code.relax(seeded(32, 4, 8, seed=step))
    z = seeded(8, 4, 9, seed=9)
    code.eval()
    assert torch.equal(code.relax(z).z_hat, code.dequantize(code.quantize(z)))
    fresh = RVQ(3, 16, 4, seed=2).eval()
    before = fresh.tables().digest()
    fresh.load_state_dict(code.state_dict())
    assert fresh.tables().digest() == code.tables().digest() != before
    assert torch.equal(fresh.dequantize(code.quantize(z)), code.dequantize(code.quantize(z)))


def test_t28_the_temperature_moves_and_noise_is_the_modules_own() -> None:
    logits = seeded(6, 8, 40)
    hot, cold = GumbelVQ(8, 2, temperature=1.0, seed=3), GumbelVQ(8, 2, temperature=1.0, seed=3)
    assert torch.equal(hot.relax(logits).z_hat, cold.relax(logits).z_hat)
    cold.temperature = 0.01
    gradients = []
    for code in (hot, cold):
        given = logits.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(code.relax(given).z_hat.square().sum(), given)
        gradients.append(gradient)
    assert not torch.allclose(gradients[0], gradients[1])
    state = torch.get_rng_state()
    hot.relax(logits)
    assert torch.equal(torch.get_rng_state(), state)


def test_t29_the_bias_is_known_and_the_batch_is_the_one_given() -> None:
    uniform = torch.rand(4096, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = float(spread.spacing_entropy(uniform, least=0.0).mean())
    assert found == pytest.approx(spread.spacing_bias(4096), abs=3e-3)
    for items in (9, 20):
        s = torch.rand(items, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        covariance = torch.cov(s.T)
        assert float(spread.correlation_penalty(s)) == pytest.approx(float(covariance[0, 1] ** 2), abs=1e-12)


def test_t26_codes_are_revived_below_what_was_asked_for() -> None:
    busy, quiet = (VQ(64, 2, decay=0.9, revive_below=least, seed=1) for least in (2.0, 0.0))
    for code in (busy, quiet):
        code.start(seeded(640, 2))
        for step in range(60):
            code.relax(0.01 * seeded(1, 2, 256, seed=step))
    used = [len(code.eval().quantize(0.01 * seeded(1, 2, 4096, seed=99)).unique()) for code in (busy, quiet)]
    assert used[0] > 2 * used[1]
