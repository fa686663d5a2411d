"""What is drawn of each bottleneck: runs on sources of known bounds, with real bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from bottleneck_plot import Panel
from bottleneck_sources import (
    RATE,
    SNR,
    AutoEncoder,
    Point,
    clusters,
    decibels,
    fit,
    normal,
    point,
    rng,
    sent,
)
from torch import Tensor
from torch.nn import functional as F

from narrows.bottlenecks.bottleneck import Bottleneck
from narrows.bottlenecks.gaussian import Gaussian
from narrows.bottlenecks.scalar import Scalar
from narrows.bottlenecks.select import Select
from narrows.bottlenecks.sparse import Sparse
from narrows.bottlenecks.staircase import Staircase
from narrows.bottlenecks.vq import VQ
from narrows.bottlenecks.wae import WAE, gaussian_kernel, inverse_multiquadrics, mmd
from narrows.bottlenecks.wavelet import Companded
from narrows.entropy import Stack, Tables, scale_family
from narrows.nets.wavelet_packet import inverse_packet, packet


def scalar() -> list[Panel]:
    """A Laplace source of variance 1: rounding against its bound, and the price that training sees."""
    z = torch.distributions.Laplace(0.0, math.sqrt(0.5))
    torch.manual_seed(0)
    train, test = z.sample((1, 1, 1 << 15)), z.sample((1, 1, 1 << 16))
    rounded, noisy, ids = [], [], []
    for step in np.geomspace(0.25, 5, 10):
        code = Scalar(1, step=float(step))
        fit(code.density.parameters(), lambda _, c=code: c.relax(train).rate_bits.mean() / 1e4, 150, 0.05)
        with torch.no_grad():
            relaxed = code.relax(train)
        noisy.append((float(relaxed.rate_bits) / train.numel(), decibels(train, relaxed.z_hat)))
        rounded.append(point(code, train, test))
    for size in (2, 4, 8, 16):
        code = VQ(size, 1)
        code.start(train[0, 0, :, None], rounds=60)
        ids.append((math.log2(size), decibels(test, code.dequantize(code.quantize(test)))))
    rates = np.linspace(0, 4.2, 50)
    # Shannon's lower bound: h - log2(2 pi e D) / 2, h = log2(2 e b) with b = sqrt(1/2).
    offset = 10 * math.log10(2 * math.pi * math.e / (2 * math.e * math.sqrt(0.5)) ** 2)
    bound = np.maximum(20 * math.log10(2) * rates + offset, 0)
    curves = Panel(f"Laplace source: {SNR}", RATE)
    curves.bound("Shannon's lower bound", rates, bound)
    gaps = Panel("bits above the bound at that error", RATE)
    for label, points, color in (
        ("Scalar, steps of .25 to 5", rounded, "a"),
        ("what training with noise is charged", noisy, "b"),
        ("2 to 16 levels, ids not entropy coded", ids, "c"),
    ):
        curves.add(label, points, color)
        above = [(r, r - max(0.0, (db - offset) / (20 * math.log10(2)))) for r, db in points]
        gaps.add(label, above, color)
    return [curves, gaps]


def gaussian() -> list[Panel]:
    """A linear VAE: what its rounded means cost, and what a chain of items costs with bits back."""
    variances = torch.tensor([4.0, 2, 1, 0.5, 0.25, 0.12])
    train, test = (normal(1 << 14, 6, seed=s) * variances.sqrt() for s in (0, 1))
    divergences, rounded = [], []
    for v in (0.02, 0.06, 0.2, 0.6, 1.5):
        # The optimum in closed form: a direction of more than v has the posterior's variance v / lambda.
        posterior = (v / variances).clamp(max=1.0)
        mean, back = (1 - posterior).sqrt() / variances.sqrt(), (variances - v).clamp(min=0).sqrt()
        sampled = Gaussian(6, seed=9)
        with torch.no_grad():
            relaxed = sampled.relax(torch.cat([mean * train, posterior.log().expand_as(train)], 1))
        divergences.append((float(relaxed.rate_bits.mean()) / 6, decibels(train, relaxed.z_hat * back)))
        # Rounded to twice the posterior's deviation, each channel by a scale of its own.
        width, code = 2 * posterior.sqrt(), Gaussian(6)
        means = [torch.cat([mean * x / width, 0 * x], 1) for x in (train, test)]
        with torch.no_grad():
            code.relax(means[0])
        bits, found = sent(code, means[1])
        rounded.append((bits / test.numel(), decibels(test, found * width * back)))
    levels = np.geomspace(0.01, 4, 60)
    of = variances.numpy()[:, None]
    rates = np.maximum(np.log2(of / levels) / 2, 0).mean(0)
    lossy = Panel(f"6 variances: {SNR}", "bits a coefficient")
    lossy.bound("rate-distortion bound", rates, 10 * np.log10(of.mean() / np.minimum(of, levels).mean(0)))
    lossy.add("divergence of the sampled latent", divergences, "b", line="none")
    lossy.add("rounded means, real bytes", rounded, "a")
    return [lossy, _chain()]


def _chain() -> Panel:
    """Items of 32 integers with latents of 4 on one stack: bits an item, with those that lay there first."""
    dims, width, count, bins = 4, 32, 192, 12
    # Orthogonal, so that the posterior's latents are independent as the coder takes them to be.
    loadings = torch.linalg.qr(normal(width, dims, seed=2).double()).Q * 60
    noise = 3.0
    # Of x = W z + noise the posterior is normal: precision I + W'W / noise**2.
    covariance = torch.linalg.inv(torch.eye(dims).double() + loadings.T @ loadings / noise**2)
    deviation = covariance.diagonal().sqrt()
    x = (normal(count, dims, seed=3).double() @ loadings.T + noise * normal(count, width, seed=4)).round()
    means = x @ (loadings @ covariance) / noise**2
    edges = torch.special.ndtri(torch.arange(1, 1 << bins, dtype=torch.float64) / (1 << bins))
    middles = torch.special.ndtri((torch.arange(1 << bins, dtype=torch.float64) + 0.5) / (1 << bins))
    family = scale_family("gaussian")
    error_index = np.full(width, family.index(np.array([round(16 * noise)]), 4)[0], np.uint16)
    even = Tables.from_pmf(np.ones((1, 1 << bins), np.uint64), [0], bits=16, escape=False)
    stack = Stack(np.random.default_rng(0).bytes(1 << 14))
    least = stack.size_bits()
    with_bits_back, without = [], 0.0
    for item in range(count):
        mass = torch.special.ndtr((edges - means[item][:, None]) / deviation[:, None])
        mass = F.pad(mass, (0, 1), value=1.0).diff(dim=1, prepend=torch.zeros(dims, 1))
        seen = [torch.nonzero(row > 1e-7)[:, 0] for row in mass]
        posterior = Tables.from_pmf(
            [row[at[0] : at[-1] + 1].numpy() for row, at in zip(mass, seen, strict=True)],
            [int(at[0]) for at in seen],
            bits=16,
            escape=False,
        )
        z = stack.pop(np.arange(dims, dtype=np.uint8), posterior)
        least = min(least, stack.size_bits())
        error = (x[item] - (loadings @ middles[torch.from_numpy(z.astype(np.int64))]).round()).numpy()
        stack.push(error.astype(np.int64), error_index, family.tables)
        stack.push(z, np.zeros(dims, np.uint8), even)
        without += dims * bins + family.tables.cost_bits(error.astype(np.int32), error_index)
        if (item + 1) & item == 0 or item + 1 == count:
            # What lay on the stack at first counts too, as far down as the first draws reached.
            with_bits_back.append((item + 1, (stack.size_bits() - least) / (item + 1)))
    whole = loadings @ loadings.T + noise**2 * torch.eye(width).double()
    evidence = float(torch.logdet(2 * math.pi * math.e * whole)) / 2 / math.log(2)
    panel = Panel("bits an item of 32 integers, without loss", "items in one chain", logarithmic="x")
    panel.bound("entropy of the source", [1, count], [evidence, evidence])
    panel.add("bits back, with what the first item lacks", with_bits_back, "a")
    panel.add("latent sent at that precision", [(1, without / count), (count, without / count)], "c")
    return panel


def wae() -> list[Panel]:
    """What the penalty charges a collapsed latent, and what drawing it to the prior costs in error."""
    collapse = Panel("penalty of a latent that is all zero", "dimensions of the latent", logarithmic="xy")
    dims = (2, 4, 8, 16, 32, 64)
    for label, kernel, color in (
        ("seven multiquadrics (ours)", inverse_multiquadrics, "a"),
        ("exp(-distance² / 2d)", gaussian_kernel, "b"),
        ("exp(-distance² / d²), as published", lambda d: gaussian_kernel(d**2 / 2), "c"),
    ):
        zeros = [(d, float(mmd(torch.zeros(800, d), normal(800, d, seed=d), kernel(d)))) for d in dims]
        collapse.add(label, zeros, color)
    noise = []
    for d in dims:
        pairs = [(normal(100, d, seed=2 * i), normal(100, d, seed=2 * i + 1)) for i in range(40)]
        noise.append((d, float(torch.stack([mmd(x, y, gaussian_kernel(d)) for x, y in pairs]).std())))
    collapse.add("noise of the second at 100 items", noise, "bound", mark="", line=":")
    trade = Panel("on new data", "weight of the penalty", logarithmic="xy")
    data, test = clusters(1 << 13, seed=0), clusters(2000, seed=1)
    errors, penalties = [], []
    for weight in (0.01, 0.1, 1.0, 10.0, 100.0):
        model = AutoEncoder(WAE(4, step=0.25), 12, 4)
        model.fit(data, lambda losses, w=weight: w / 100 * losses["penalty"], 300)
        errors.append((weight, 10 ** (-model.reached(test)[1] / 10)))
        with torch.no_grad():
            z, prior = model.encoder(test), normal(2000, 4, seed=9)
            penalties.append((weight, float(mmd(z, prior, inverse_multiquadrics(4), biased=True))))
    trade.add("error after rounding, of the signal's power", errors, "b")
    trade.add("penalty, 2,000 items", penalties, "a")
    return [collapse, trade]


def wavelet() -> list[Panel]:
    """A line of correlated samples: few-bit companded packet coefficients against rounded ones."""
    lines = [_correlated(64, 512, seed) for seed in (0, 1)]
    bands = [packet(line, 3) for line in lines]
    curves = Panel(f"samples correlated .95: {SNR}", "bits a sample, real bytes")
    # The spectrum's reverse water-filling: s(w) = (1 - r^2) / |1 - r e^iw|^2.
    spectrum = (1 - 0.95**2) / (1 + 0.95**2 - 2 * 0.95 * np.cos(np.linspace(0, math.pi, 2001)[1:]))[:, None]
    levels = np.geomspace(0.002, 1, 50)
    rates = np.maximum(np.log2(spectrum / levels) / 2, 0).mean(0)
    curves.bound("rate-distortion bound", rates, -10 * np.log10(np.minimum(spectrum, levels).mean(0)))
    for label, bits, color in (
        ("Companded to 8 bits, packet", 8, "a"),
        ("Companded to 4 bits, packet", 4, "c"),
    ):
        code = Companded(8, bits=bits)
        top = code.scale / float(bands[0][:, 0].std())
        points = [
            _through(Companded(8, bits=bits), bands, lines, top * g) for g in np.geomspace(0.12, 1.0, 6)
        ]
        curves.add(label, points, color)
    plain = [point(Scalar(1, step=float(s)), lines[0], lines[1]) for s in np.geomspace(0.16, 1.6, 6)]
    transformed = [_through(Scalar(8), bands, lines, 1 / s) for s in np.geomspace(0.12, 1.6, 7)]
    curves.add("Scalar, packet", transformed, "b")
    curves.add("Scalar, samples as they are", plain, "d")
    error = Panel("error of a value, in deviations", "value, in deviations", logarithmic="y")
    values = torch.linspace(0, 4, 4000)[None, None]
    for bits, color in ((4, "c"), (6, "b"), (8, "a")):
        code = Companded(1, bits=bits).eval()
        off = (code.dequantize(code.quantize(values * code.scale)) / code.scale - values).abs()[0, 0]
        windows = off.reshape(16, 250).square().mean(1).sqrt()
        error.add(
            f"Companded to {bits} bits",
            [(0.125 + i / 4, float(v)) for i, v in enumerate(windows)],
            color,
            mark="",
        )
    return [curves, error]


def _correlated(batch: int, length: int, seed: int) -> Tensor:
    steps = normal(batch, 1, length, seed=seed) * math.sqrt(1 - 0.95**2)
    steps[..., 0] /= math.sqrt(1 - 0.95**2)
    for i in range(1, length):
        steps[..., i] += 0.95 * steps[..., i - 1]
    return steps


def _through(code: Bottleneck, bands: Sequence[Tensor], lines: Sequence[Tensor], gain: float) -> Point:
    """Return the bits a sample and the dB of bands sent by `code` after a gain."""
    with torch.no_grad():
        code.relax(bands[0] * gain)
    bits, found = sent(code, bands[1] * gain)
    return bits / lines[1].numel(), decibels(lines[1], inverse_packet(found / gain, 3))


def sparse() -> list[Panel]:
    """Vectors that are few of 96 directions: three selections by atoms kept and by bytes, beside rounding."""
    truth = F.normalize(normal(96, 24, seed=5), dim=1)

    def vectors(count: int, seed: int) -> Tensor:
        active = torch.rand(count, 96, generator=rng(seed)) < 0.03
        return (active * (0.5 + torch.rand(count, 96, generator=rng(seed + 1000)))) @ truth

    train, test = vectors(1 << 13, 0), vectors(1 << 12, 1)
    curves = Panel(f"few of 96 directions: {SNR}", "bits a vector of 24, real bytes")
    kept = Panel(SNR, "atoms a vector, mean")
    for selection, color in (("pursuit", "a"), ("top-k", "b"), ("norm", "c")):
        rate, atoms = [], []
        for k in (1, 2, 3, 5, 8, 16) if selection != "norm" else (1,):
            code = Sparse(24, 96, k, step=0.12, selection=selection, seed=6)

            def loss(step: int, code: Sparse = code) -> Tensor:
                z = train[torch.arange(256 * step, 256 * (step + 1)) % len(train)]
                return code.relax(z).losses["reconstruction"] + 0.1 * code.auxiliary_loss(z)

            fit(code.parameters(), loss, 300, 0.02)
            bits, found = sent(code, test)
            rate.append((bits / len(test), decibels(test, found)))
            atoms.append((float((code.quantize(test) > 0).sum(1).double().mean()), rate[-1][1]))
        curves.add(f"Sparse, {selection}", rate, color)
        kept.add(f"Sparse, {selection}", atoms, color)
    _, directions = torch.linalg.eigh(train.T @ train)
    turned = [(v @ directions)[:, :, None] for v in (train, test)]
    rounded = [point(Scalar(24, step=float(s)), *turned) for s in np.geomspace(0.1, 1.5, 8)]
    curves.add("Scalar, principal components", [(24 * r, db) for r, db in rounded], "d")
    parts = [
        (k, decibels(test, test @ directions[:, -k:] @ directions[:, -k:].T)) for k in (1, 2, 3, 5, 8, 12)
    ]
    kept.add("principal components, not quantized", parts, "d")
    return [curves, kept]


def select() -> list[Panel]:
    """Positions of which a quarter matter: what dropping the others saves."""
    size = torch.where(torch.rand(64, 1, 64, generator=rng(0)) < 0.25, 1.0, 0.05)
    train, test = (size * normal(64, 4, 64, seed=s) for s in (1, 2))
    # A logit that says how large the vector is: what a trained selector finds (see the tests).
    by_size = [v.norm(dim=1, keepdim=True) for v in (train, test)]
    blindly = [normal(64, 1, 64, seed=s) for s in (3, 4)]
    curves = Panel(f"a quarter of the positions matter: {SNR}", RATE)
    kept = Panel(SNR, "positions kept, %")
    shares = (0.05, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5)

    def chosen(by: Sequence[Tensor], share: float) -> Point:
        code = Select(Scalar(4, step=0.4), keep=round(64 * share))
        edge = by[0].flatten().quantile(1 - share)
        # In training the choice is drawn: far from zero it is all but certain.
        latents = [torch.cat([v, 50 * (b - edge)], 1) for v, b in zip((train, test), by, strict=True)]
        with torch.no_grad():
            code.relax(latents[0])
        bits, found = sent(code, latents[1])
        return bits / test.numel(), decibels(test, found)

    large, blind = ([chosen(by, share) for share in shares] for by in (by_size, blindly))
    curves.add("Select the largest, Scalar inside", large, "a")
    steps = [float(s) for s in np.geomspace(0.3, 2.5, 7)]
    curves.add("Scalar at every position", [point(Scalar(4, step=s), train, test) for s in steps], "b")
    kept.add("Select the largest", [(100 * s, db) for s, (_, db) in zip(shares, large, strict=True)], "a")
    kept.add("as many, drawn blindly", [(100 * s, db) for s, (_, db) in zip(shares, blind, strict=True)], "c")
    return [curves, kept]


def staircase() -> list[Panel]:
    """A history read with weights that fall with age: the weighted error at equal bytes, and bits by age."""
    z = normal(8, 64, 256)
    age = torch.arange(255, -1, -1).double()
    weight = 1 / (1 + age)
    weight = weight / weight.sum()

    def weighted(code: Staircase) -> Point:
        bits, found = sent(code, z)
        error = (found - z).square().mean((0, 1)).double()
        return bits / z.numel(), 10 * math.log10(float((error * weight).sum()))

    curves = Panel("error weighted by 1 / (1 + age), dB", "bits a value, real bytes")
    widths = Panel("bits of a position", "age in positions", limits=(0, 9))
    falling = []
    for label, stairs, last, color in (
        ("7, 5, 4, then 2 bits", ((16, 7), (32, 5), (64, 4)), 2, "a"),
        ("8, 6, 5, then 4 bits", ((16, 8), (32, 6), (64, 5)), 4, "c"),
    ):
        code = Staircase(64, stairs=stairs, last_bits=last, group=32)
        falling.append(weighted(code))
        steps = zip(age.tolist(), code.widths(256).tolist(), strict=True)
        corners = [(a, b) for a, b in steps if int(a) % 16 in (0, 15)]
        widths.add(label, corners, color, mark="")
    curves.add("the two staircases", falling, "a")
    even = [weighted(Staircase(64, stairs=(), last_bits=b, group=32)) for b in (2, 3, 4, 5, 6)]
    curves.add("2 to 6 bits at every age", even, "b")
    return [curves, widths]
