"""What is drawn of the bottlenecks whose symbols are ids and bits."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import torch
from bottleneck_plot import Panel
from bottleneck_sources import (
    RATE,
    SNR,
    AutoEncoder,
    Point,
    clusters,
    fit,
    normal,
    point,
    rng,
    sent,
)
from torch import Tensor
from torch.nn import functional as F

from narrows.bottlenecks.bsq import BSQ
from narrows.bottlenecks.fsq import FSQ
from narrows.bottlenecks.lfq import LFQ
from narrows.bottlenecks.rvq import RVQ, BinaryRVQ, ProductVQ
from narrows.bottlenecks.scalar import Scalar
from narrows.bottlenecks.sign import least_sign_risk, sign_risk
from narrows.bottlenecks.vq import VQ, nearest
from narrows.training import channel


def ring(count: int, seed: int) -> Tensor:
    """Points [1, 2, count] near a circle: two channels that no linear map makes independent."""
    angle = 2 * math.pi * torch.rand(count, generator=rng(seed))
    radius = 1 + 0.05 * normal(count, seed=seed + 1000)
    return torch.stack([radius * angle.cos(), radius * angle.sin()])[None]


def vq() -> list[Panel]:
    """Codes in use while the encoder drifts, and a source whose channels depend on each other."""
    usage = Panel("codes in use of 256, %", "training step", limits=(0, 104))
    for label, revive, started, color in (
        ("k-means start, dead codes revived", 2.0, True, "a"),
        ("k-means start alone", 0.0, True, "b"),
        ("random start alone", 0.0, False, "c"),
    ):
        code = VQ(256, 4, decay=0.9, revive_below=revive, seed=1)
        code.started.fill_(not started)
        points = []
        for step in range(121):
            # The latent grows and moves away, as that of a network in training does.
            scale = 0.1 + 0.9 * step / 120
            z = 3 * step / 120 + scale * normal(1, 4, 1024, seed=step)
            code.relax(z)
            if step % 10 == 0:
                ids = nearest(z[0].T, code.codes)
                points.append((step, 100 * len(ids.unique()) / 256))
        usage.add(label, points, color)
    curves = Panel(f"points near a circle: {SNR}", RATE)
    train, test = ring(1 << 14, 0), ring(1 << 15, 1)
    both = [point(VQ(1 << k, 2), train, test, 8) for k in range(1, 11)]
    curves.add("VQ of both channels, 2 to 1,024 codes", both, "a")
    steps = [float(s) for s in np.geomspace(0.08, 1.0, 8)]
    apart = [point(Scalar(2, step=s), train, test) for s in steps]
    curves.add("Scalar, each channel alone", apart, "b")
    return [usage, curves]


def rvq() -> list[Panel]:
    """Stages, groups and one large codebook on normal vectors of 8, by rate and by search."""
    train, test = normal(1, 8, 1 << 14), normal(1, 8, 1 << 14, seed=1)
    rates = np.linspace(0, 2.1, 2)
    curves = Panel(f"normal source, 8 channels: {SNR}", RATE)
    curves.bound("rate-distortion bound", rates, 20 * math.log10(2) * rates)
    search = Panel(SNR, "codes compared for a vector", logarithmic="x")
    # What a stage learns does not depend on those after it: these are the first stages of one model.
    by_stage = []
    for stages in (1, 2, 3, 4):
        code = RVQ(stages, 16, 8, seed=1)
        by_stage.append(point(code, train, test, 12))
    single = [point(VQ(1 << k, 8), train, test, 2) for k in (4, 6, 8, 10)]
    groups = [point(ProductVQ(g, 16, 8), train, test, 12) for g in (1, 2, 4)]
    binary = [point(BinaryRVQ(s, 8), train, test, 4) for s in (1, 2)]
    for label, points, compared, color in (
        ("RVQ, 1 to 4 stages of 16", by_stage, [16, 32, 48, 64], "a"),
        ("VQ, 16 to 1,024 codes", single, [16, 64, 256, 1024], "b"),
        ("ProductVQ, 1 to 4 groups of 16", groups, [16, 32, 64], "c"),
        ("BinaryRVQ, 1 and 2 stages", binary, [2, 4], "d"),
    ):
        curves.add(label, points, color)
        search.add(label, [(n, db) for n, (_, db) in zip(compared, points, strict=True)], color)
    return [curves, search]


def fsq() -> list[Panel]:
    """The same auto-encoder around FSQ, VQ and LFQ: how much of a code is used, and for what error."""
    data, test = clusters(1 << 14, seed=0), clusters(1 << 13, seed=1)
    used = Panel("ids in use of those there are, %", "size of the code", logarithmic="x", limits=(0, 104))
    curves = Panel(f"clusters in 12 dimensions: {SNR}", "bits an item, real bytes")
    results: dict[str, tuple[list[Point], list[Point]]] = {}
    for levels in ((4, 4), (5, 4, 3), (8, 6, 5), (8, 5, 5, 5), (7, 5, 5, 5, 5)):
        model = AutoEncoder(FSQ(levels), 12, len(levels))
        model.fit(data, lambda losses: torch.zeros(()))
        ids = model.code.ids(model.code.quantize(model.encoder(test)))
        _note(results, "FSQ", math.prod(levels), ids, model.reached(test))
    for size in (16, 64, 256, 1024, 4096):
        model = AutoEncoder(VQ(size, 4), 12, 4)
        model.fit(data, lambda losses: 0.25 * losses["commitment"])
        _note(results, "VQ", size, model.code.quantize(model.encoder(test)), model.reached(test))
        model = AutoEncoder(LFQ(size.bit_length() - 1), 12, size.bit_length() - 1)
        model.fit(data, lambda losses: 0.05 * (losses["entropy"] - losses["usage"]))
        bits = model.code.quantize(model.encoder(test))
        ids = (bits * 2 ** torch.arange(bits.shape[1])).sum(1)
        _note(results, "LFQ", size, ids, model.reached(test))
    for (label, (shares, points)), color in zip(results.items(), "abc", strict=True):
        used.add(label, shares, color)
        curves.add(label, points, color)
    return [used, curves]


def _note(
    results: dict[str, tuple[list[Point], list[Point]]], label: str, size: int, ids: Tensor, reached: Point
) -> None:
    shares, points = results.setdefault(label, ([], []))
    shares.append((size, 100 * len(ids.unique()) / size))
    points.append(reached)


def lfq() -> list[Panel]:
    """The usage term: real bits of an id against its length, and what they buy."""
    data, test = clusters(1 << 14, seed=0), clusters(1 << 13, seed=1)
    rates = Panel("bits an id, real bytes", "bits an id has", limits=(0, None))
    curves = Panel(f"clusters in 12 dimensions: {SNR}", "bits an item, real bytes")
    lengths = (4, 6, 8, 10, 12, 16)
    rates.bound("all of them", lengths, lengths)
    for label, weight, color in (("with the usage term", 0.05, "a"), ("without", 0.0, "b")):
        points = []
        for length in lengths:
            model = AutoEncoder(LFQ(length), 12, length)
            model.fit(data, lambda losses, w=weight: w * (losses["entropy"] - losses["usage"]))
            points.append(model.reached(test))
        rates.add(label, [(n, bits) for n, (bits, _) in zip(lengths, points, strict=True)], color)
        curves.add(label, points, color)
    return [rates, curves]


def bsq() -> list[Panel]:
    """The error on the sphere at a bit a dimension, and codes too large for any codebook."""
    sphere = Panel("squared error of points of the unit sphere", "bits, 1 a dimension", limits=(0, None))
    lengths = (4, 9, 18, 28, 36, 64)
    sphere.bound("least at 1 bit a dimension, many dimensions", lengths, [0.25] * len(lengths))
    for label, rescale, color in (("BSQ", False, "b"), ("BSQ, rescaled decoder", True, "a")):
        points = []
        for length in lengths:
            u = F.normalize(normal(8192, length), dim=1)
            _, found = sent(BSQ(length, rescale=rescale), u)
            points.append((length, float((found - u).square().sum(1).mean())))
        sphere.add(label, points, color)
    data, test = clusters(1 << 14, seed=0), clusters(1 << 13, seed=1)
    curves = Panel(f"clusters in 12 dimensions: {SNR}", "bits an item, real bytes")
    for label, kind, color in (("BSQ, 9 to 64 bits", BSQ, "a"), ("LFQ, 9 to 64 bits", LFQ, "b")):
        points = []
        for length in (9, 18, 28, 36, 64):
            model = AutoEncoder(kind(length), 12, length)
            model.fit(data, lambda losses: 0.02 * (losses["entropy"] - losses["usage"]))
            points.append(model.reached(test))
        curves.add(label, points, color)
    model = AutoEncoder(VQ(1024, 4), 12, 4)
    model.fit(data, lambda losses: 0.25 * losses["commitment"])
    curves.add("VQ, 1,024 codes", [model.reached(test)], "c", mark="s", line="none")
    return [sphere, curves]


def sign() -> list[Panel]:
    """Sign codes of a normal source against their least error, and block codes for a noisy channel."""
    risk = Panel("squared error of a normal source, linear decoder", "bits a dimension", logarithmic="y")
    ratios = np.linspace(0.05, 4, 80)
    risk.bound("least for signs, many dimensions", ratios, [least_sign_risk(r) for r in ratios])
    risk.add("least for any code", [(r, 2 ** (-2 * r)) for r in ratios], "bound", mark="", line=":")
    counts = (8, 16, 24, 32, 48, 64, 96, 128)
    drawn, trained = [], []
    for bits in counts:
        rows = normal(bits, 32, seed=1).double()
        drawn.append((bits / 32, float(sign_risk(F.normalize(rows, dim=1)))))
        rows.requires_grad_()
        fit([rows], lambda _, r=rows: sign_risk(F.normalize(r, dim=1)), 200, 0.05)
        trained.append((bits / 32, float(sign_risk(F.normalize(rows.detach(), dim=1)))))
    risk.add("random directions, 32 dimensions", drawn, "b")
    risk.add("trained directions", trained, "a")
    words = channel.learn_code(4, 7, restarts=6)
    plain = np.array(list(product((0, 1), repeat=4)))
    blocks = Panel("4 bits not received right", "chance that a bit flips", logarithmic="xy")
    flips = np.geomspace(0.003, 0.3, 15)
    for label, table, look in (
        ("Hamming (7,4)", channel.HAMMING_7_4, {"color": "bound", "mark": "", "line": "--"}),
        ("learned, 7 bits", words, {"color": "a", "line": "none"}),
        ("sent as they are, 4 bits", plain, {"color": "b", "mark": ""}),
    ):
        blocks.add(label, [(f, channel.block_error_rate(table, float(f))) for f in flips], **look)
    return [risk, blocks]
