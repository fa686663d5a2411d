"""Hyperprior models whose strings decode alike on every machine."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from entropy.test_compat_compressai import both, lively

from narrows.entropy.compat import compressai as door
from narrows.entropy.compat.exact import exact_layer, family_of

torch = pytest.importorskip("torch", reason="torch is not installed")
zoo = pytest.importorskip("compressai.zoo", reason="compressai is not installed")


def whole(layer, x):
    """What an exact layer computes, in int64 and in another order."""
    steps = layer.steps.to(torch.int64)
    given = torch.round(x.double() * 1024).to(torch.int64)
    order = torch.randperm(steps.shape[0] if layer.transposed else steps.shape[1])
    if layer.transposed:
        inverse = torch.nn.functional.conv_transpose2d
        parts = [
            inverse(given[:, c : c + 1].double(), steps[c : c + 1].double(), None, 2, 2, 1).to(torch.int64)
            for c in order
        ]
    else:
        parts = [
            torch.nn.functional.conv2d(
                given[:, c : c + 1].double(), steps[:, c : c + 1].double(), None, 1, 1
            ).to(torch.int64)
            for c in order
        ]
    sums = sum(parts) + layer.offset.to(torch.int64)[:, None, None]
    return (sums.double() * 2.0 ** -(layer.bits + 10)).float()


@pytest.mark.parametrize("transposed", [False, True])
def test_exact_layers_sum_whole_numbers_and_stay_near(transposed):
    torch.manual_seed(0)
    if transposed:
        plain = torch.nn.ConvTranspose2d(24, 40, 5, stride=2, padding=2, output_padding=1)
    else:
        plain = torch.nn.Conv2d(24, 40, 3, padding=1)
    layer, x = exact_layer(plain), torch.randn(2, 24, 12, 12) * 10
    out = layer(x)
    assert torch.equal(out, whole(layer, x))
    assert torch.equal(out, torch.cat([layer(one) for one in x.split(1)]))
    assert torch.equal(out, layer(x.contiguous(memory_format=torch.channels_last)))
    assert float((out - plain(x)).detach().abs().max()) < 0.02
    assert torch.equal(copy.deepcopy(layer)(x), out)


@pytest.mark.parametrize("name", ["bmshj2018_hyperprior", "mbt2018_mean"])
def test_an_exact_model_decodes_alike_in_any_batch_and_layout(name):
    torch.manual_seed(0)
    model = lively(getattr(zoo, name)(quality=1, pretrained=False))
    x = torch.rand(3, 3, 64, 64)
    plain, _ = both(model, x)
    with door.exact(model):
        out, x_hat = both(model, x)
        sizes = [sum(len(s) for part in o["strings"] for s in part) for o in (plain, out)]
        assert sizes[1] < sizes[0] * 1.02 + 120  # networks on integers cost next to nothing
        with torch.no_grad():
            for k in range(3):
                alone = model.decompress([[part[k]] for part in out["strings"]], out["shape"])["x_hat"]
                assert torch.allclose(alone[0], x_hat[k], atol=1e-4)
                assert both(model, x[k : k + 1])[0]["strings"][1] == [out["strings"][1][k]]
            z_hat = model.entropy_bottleneck.decompress(out["strings"][1], out["shape"])
            once = model.h_s(z_hat)
            assert torch.equal(once, torch.cat([model.h_s(z) for z in z_hat.split(1)]))
            assert torch.equal(once, model.h_s(z_hat.contiguous(memory_format=torch.channels_last)))
        table = family_of(model.gaussian_conditional.scale_table.numpy()).tables
        assert len(table) == 64
    assert both(model, x)[0]["strings"] == plain["strings"]
    assert sorted(model.state_dict()) == sorted(zoo.__dict__[name](1).state_dict())


def test_models_that_cannot_be_exact_are_refused_untouched():
    model = zoo.mbt2018(quality=1, pretrained=False)
    before = type(model)
    with pytest.raises(ValueError, match="pixel by pixel"):
        door.exact(model)
    assert type(model) is before
    other = zoo.bmshj2018_hyperprior(quality=1, pretrained=False)
    other.h_s[1] = torch.nn.Sigmoid()
    with pytest.raises(ValueError, match="Sigmoid"):
        door.exact(other)


def test_scales_of_ones_own_get_tables_of_their_own():
    family = family_of(np.array([0.5, 1, 2, 8]))
    assert family.scales.tolist() == [1 << 19, 1 << 20, 1 << 21, 1 << 23]
    with pytest.raises(ValueError, match="rise"):
        family_of(np.array([2.0, 1.0]))
