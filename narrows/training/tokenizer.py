"""Trains the image tokenizers: one body, five bottlenecks.

A picture's wavelet packet (192 planes at an eighth of the size) goes through a linear map that begins at the
principal components, plus a small network that begins at zero; the bottleneck; and the same on the way back.
`walloc` has the linear map alone as its encoder, frozen for the first half (arXiv 2412.09405); so has `bsq`,
each channel of whose latent is less by what the bits before it have said of it. The loss is the squared error
of pixels, from the packet by the planes' gains, and each bottleneck's own terms.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from narrows.bottlenecks.bottleneck import Bottleneck, along_channels
from narrows.bottlenecks.bsq import BSQ
from narrows.bottlenecks.gaussian import Gaussian, split_gaussian
from narrows.bottlenecks.rvq import RVQ
from narrows.bottlenecks.wae import WAE
from narrows.bottlenecks.wavelet import Companded
from narrows.errors import OptionError
from narrows.tokenizers.image import PLANES
from narrows.training import loop, pictures
from narrows.training.pictures import UNIT

KINDS = ("vae", "wae", "vq", "bsq", "walloc")
LINEAR = ("bsq", "walloc")
"""Whose encoders have no network beside the linear map."""


@dataclass(frozen=True)
class Options:
    """`kind` names the bottleneck, `channels` its numbers a position; `width` is of the networks.

    `rate` and `linear_rate` are the learning rates of networks and of linear maps. `noise` is the least that
    the decoder must bear: for `vae` the variance of its error in units of 32 levels, for `wae` and `walloc`
    a step. Deviations and steps are drawn from that to `reach` times as much, so that one body serves many
    rates. `codes` and `stages` are of `vq`. `weight` is of the bottleneck's loss.
    """

    data: str = ""
    out: str = "runs/tokenizer"
    kind: str = "vae"
    seed: int = 1
    resume: bool = False
    channels: int = 16
    width: int = 96
    steps: int = 1500
    batch: int = 16
    side: int = 16
    rate: float = 1e-3
    linear_rate: float = 1e-4
    noise: float = 0.1
    reach: float = 1.0
    weight: float = 1.0
    codes: int = 1024
    stages: int = 2
    prior_steps: int = 800

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise OptionError(f"kind is one of {', '.join(KINDS)}, not {self.kind!r}")


def network(*widths: int) -> nn.Sequential:
    """Return 3x3 convolutions and leaky rectifiers, the last 1x1 and zero: what is added to a linear map."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths[:-1]):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.LeakyReLU(0.125)]
    last = nn.Conv2d(widths[-2], widths[-1], 1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, last)


class Body(nn.Module):
    """Encoder, bottleneck and decoder between packets [batch, 192, h, w] in units of 32 levels."""

    encoder_net: nn.Sequential | None
    gains: Tensor
    deviations: Tensor

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options
        c, width = options.channels, options.width
        latent = 2 * c if options.kind == "vae" else c
        self.encoder_linear = nn.Conv2d(PLANES, latent, 1)
        self.encoder_net = None if options.kind in LINEAR else network(PLANES, width, width, latent)
        self.decoder_linear = nn.Conv2d(c, PLANES, 3, padding=1)
        self.decoder_net = network(c, width, width, width, PLANES)
        self.bottleneck = _bottleneck(options)
        if options.kind == "bsq":
            self.feedback = nn.Parameter(torch.zeros(c, c))
        self.register_buffer("gains", torch.ones(PLANES))
        self.register_buffer("deviations", torch.ones(c))

    @torch.no_grad()
    def start(self, train: list[np.ndarray]) -> None:
        """Set the linear maps to the principal components of the pictures, and scale what networks meet."""
        options, c = self.options, self.options.channels
        weights = pictures.gains()
        self.gains.copy_(torch.from_numpy(weights))
        encode, decode, variances = pictures.principal(train, weights, options.seed)
        scales = _scales(options, variances[:c])
        self.encoder_linear.weight.zero_()
        self.encoder_linear.bias.zero_()
        self.encoder_linear.weight[:c, :, 0, 0] = torch.from_numpy(encode[:c] * scales[:, None])
        self.decoder_linear.weight.zero_()
        self.decoder_linear.bias.zero_()
        self.decoder_linear.weight[:, :, 1, 1] = torch.from_numpy(decode[:, :c] / scales)
        if options.kind == "vae":
            posterior = np.minimum(options.noise / variances[:c], 0.9)
            self.encoder_linear.bias[c:] = torch.from_numpy(np.log(posterior))
        rng = np.random.default_rng(options.seed)
        sample = torch.from_numpy(pictures.crops(train, rng, 64, 8))
        spread = sample.square().mean((0, 2, 3)).sqrt().clamp(min=1e-3)
        if self.encoder_net is not None:
            self.encoder_net[0].weight.div_(along_channels(spread, 4))
        deviation = np.sqrt(np.maximum(variances[:c], 1e-6)) * scales
        if options.kind == "wae":
            self.deviations.copy_(torch.from_numpy(deviation))
        if options.kind == "bsq":
            deviation = np.full(c, c**-0.5)
            many = pictures.crops(train, rng, 100 * options.batch, 8)
            rows = np.moveaxis(many, 1, -1).reshape(-1, PLANES).astype(float)
            start_binary(self, rows, weights)
        self.decoder_net[0].weight.div_(along_channels(torch.from_numpy(deviation).float(), 4))

    def encode(self, x: Tensor) -> Tensor:
        """Return the latent that the bottleneck takes."""
        z = self.encoder_linear(x)
        if self.encoder_net is not None:
            z = z + self.encoder_net(x)
        return z if self.options.kind != "bsq" else self._fed_back(z)

    def _fed_back(self, z: Tensor) -> Tensor:
        """Return the latent, each channel less what the bits before it have said of it already."""
        rows: list[Tensor] = []
        said = torch.zeros_like(z)
        for k in range(z.shape[1]):
            rows.append(z[:, k] - said[:, k])
            bit = torch.where(rows[k] > 0, 1.0, -1.0).to(z)
            said = said + along_channels(self.feedback[:, k], 4) * bit[:, None]
        return torch.stack(rows, 1)

    def decode(self, z_hat: Tensor) -> Tensor:
        """Return the packet of what the bottleneck gave."""
        return self.decoder_linear(z_hat) + self.decoder_net(z_hat)

    def errors(self, x: Tensor, decoded: Tensor) -> Tensor:
        """Return each item's squared error a position, in squared units of 32 levels, over its 192 pixels."""
        return ((x - decoded).square() * along_channels(self.gains, 4)).sum(1).mean((1, 2))

    def error(self, x: Tensor, decoded: Tensor) -> Tensor:
        """Return the mean of `errors`."""
        return self.errors(x, decoded).mean()

    def loss(self, x: Tensor, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """Return what a step minimizes, and its parts."""
        options, bottleneck = self.options, self.bottleneck
        z = self.encode(x)
        positions = z.shape[0] * z.shape[2] * z.shape[3]
        if options.kind == "vae":
            # A wider posterior for some: one body for steps from fine to coarse.
            wider = torch.from_numpy(rng.uniform(0, math.log(options.reach), (len(x), 1, 1, 1))).to(z)
            mean, log_variance = z.chunk(2, 1)
            relaxed = bottleneck.relax(torch.cat([mean, log_variance + 2 * wider], 1))
            of_item = self.errors(x, self.decode(relaxed.z_hat))
            error = of_item.mean()
            nats = relaxed.losses["kl"] * len(x) / positions
            priced = of_item / (2 * options.noise * (2 * wider[:, 0, 0, 0]).exp())
            loss, told = priced.mean() + options.weight * nats, {"nats": float(nats.detach())}
        elif options.kind == "wae":
            # A sixteenth of the positions: the discrepancy costs the square of their number.
            even = z / along_channels(self.deviations, 4)
            penalty = bottleneck.relax(even[:, :, ::4, ::4]).losses["penalty"]
            wider = rng.uniform(0, math.log(options.reach), (len(x), 1, 1, 1))
            steps = options.noise * torch.from_numpy(wider).to(z).exp()
            of_item = self.errors(x, self.decode(z + (torch.rand_like(z) - 0.5) * steps))
            error = of_item.mean()
            weighted = (of_item / (1 + steps[:, 0, 0, 0].square())).mean()
            loss, told = weighted + options.weight * penalty, {"penalty": float(penalty.detach())}
        elif options.kind == "vq":
            relaxed = bottleneck.relax(z)
            error = self.error(x, self.decode(relaxed.z_hat))
            loss = error + options.weight * options.channels * relaxed.losses["commitment"]
            told = {"bits": float(relaxed.rate_bits.mean()) * len(x) / positions}
        elif options.kind == "bsq":
            relaxed = bottleneck.relax(z)
            c = options.channels
            kept = torch.from_numpy(rng.choice((c // 2, c - c // 4, c), len(x)))
            alive = torch.arange(c)[None] < kept[:, None]
            error = self.error(x, self.decode(relaxed.z_hat * alive[:, :, None, None]))
            sharp = relaxed.losses["entropy"] - relaxed.losses["usage"]
            loss, told = error + options.weight * sharp, {"sharp": float(sharp.detach())}
        else:
            loss, error, told = self._companded(x, z, rng)
        return loss, {"psnr": psnr(float(error.detach())), **told}

    def _companded(
        self, x: Tensor, z: Tensor, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor, dict[str, float]]:
        """`walloc`: noise of a random step, and the price of each coefficient at that step."""
        options = self.options
        code: Any = self.bottleneck
        wider = rng.uniform(0, math.log(options.reach), (len(x), 1, 1, 1))
        steps = options.noise * torch.from_numpy(wider).to(z).exp()
        squashed = code.compand(z)
        noisy = squashed + (torch.rand_like(z) - 0.5) * steps
        decoded = self.decode(code.expand(noisy.clamp(-code.most, code.most)))
        of_item = self.errors(x, decoded)
        bits = torch.log2(1 + (squashed / steps).square()).sum(1).mean((1, 2)) / 2
        # At a high rate a bit is worth 2 ln 2 times the error of the step, here in units of 32 levels.
        unit = UNIT / _COMPANDED_LEVELS
        price = 2 * math.log(2) * (steps[:, 0, 0, 0] / unit).square() / 12
        loss = ((of_item + options.weight * price * bits) / (0.2 + price)).mean()
        return loss, of_item.mean(), {"proxy_bits": float(bits.detach().mean())}

    def quantized(self, x: Tensor, rate: float) -> Tensor:
        """Return the packet after the bottleneck as it is used, at a rate's step, stages or bits."""
        z, options = self.encode(x), self.options
        if options.kind == "vae":
            mean, log_variance = split_gaussian(z)
            step = rate * (log_variance / 2).mean((0, 2, 3), keepdim=True).exp()
            return self.decode(torch.round(mean / step) * step)
        if options.kind == "wae":
            return self.decode(torch.round(z / rate) * rate)
        if options.kind == "vq":
            return self.decode(self.bottleneck.dequantize(self.bottleneck.quantize(z)[:, : int(rate)]))
        if options.kind == "bsq":
            values = self.bottleneck.dequantize(self.bottleneck.quantize(z))
            values[:, int(rate) :] = 0
            return self.decode(values)
        code: Any = self.bottleneck
        return self.decode(code.expand(torch.round(code.compand(z) / rate) * rate))


# What one symbol of `walloc` is at step 1, in 8-bit levels of a coefficient.
_COMPANDED_LEVELS = 12.0
RATES: dict[str, tuple[float, float]] = {
    "vae": (18.0, 6.0),
    "wae": (4.0, 1.5),
    "vq": (1, 2),
    "bsq": (16, 32),
    "walloc": (8.0, 3.0),
}


def psnr(error: float) -> float:
    """Return the PSNR in dB of a squared error a position as `Body.error` has it."""
    return 10 * math.log10(255**2 * PLANES / (error * UNIT**2))


def _bottleneck(options: Options) -> Bottleneck:
    c = options.channels
    match options.kind:
        case "vae":
            return Gaussian(c)
        case "wae":
            return WAE(c)
        case "vq":
            return RVQ(options.stages, options.codes, c, dropout=True, revive_below=0.5)
        case "bsq":
            return BSQ(c)
    return Companded(c, bits=8)


def _scales(options: Options, variances: np.ndarray) -> np.ndarray:
    """Return what each component is multiplied by on its way to the bottleneck."""
    if options.kind == "vae":
        return 1 / np.sqrt(variances)
    if options.kind == "walloc":
        return np.full(len(variances), UNIT / _COMPANDED_LEVELS)
    return np.ones(len(variances))


@torch.no_grad()
def start_binary(body: Body, sample: np.ndarray, weights: np.ndarray) -> None:
    """Begin `bsq` as successive approximation: a bit is a side of the widest axis of what bits before leave.

    `sample` [items, 192], `weights` [192] of squared errors. Axes are of weighted coefficients.
    """
    root = np.sqrt(weights)
    rest = sample * root
    axes = np.empty((body.options.channels, PLANES))
    for bit in range(len(axes)):
        # The axis of most variance, then the mean of what its two sides hold, till that stays.
        axis = np.linalg.eigh(rest.T @ rest)[1][:, -1]
        for _ in range(10):
            axis = np.where(rest @ axis > 0, 1, -1) @ rest / len(rest)
        rest -= np.where(rest @ axis > 0, 1, -1)[:, None] * axis
        axes[bit] = axis
    project = axes / np.square(axes).sum(1, keepdims=True)
    body.encoder_linear.weight[:, :, 0, 0] = torch.from_numpy(project * root)
    body.feedback.copy_(torch.from_numpy(np.tril(project @ axes.T, -1)))
    body.decoder_linear.weight.zero_()
    body.decoder_linear.weight[:, :, 1, 1] = torch.from_numpy((axes / root).T / body.bottleneck.scale)


def optimizer_groups(body: Body) -> list[dict[str, Any]]:
    """Return AdamW's groups: linear maps learn slowly, since they begin where they are nearly best."""
    options = body.options
    encoder, decoder = list(body.encoder_linear.parameters()), list(body.decoder_linear.parameters())
    if options.kind == "bsq":
        encoder.append(body.feedback)
    known = {id(p) for p in (*encoder, *decoder)}
    others = [p for p in body.parameters() if id(p) not in known]
    # Gradients through signs are rough: faster, they undo the start of `bsq`.
    encoder_rate = options.linear_rate * (0.1 if options.kind == "bsq" else 1.0)
    return [
        {"params": others, "lr": options.rate},
        {"params": decoder, "lr": options.linear_rate},
        {"params": encoder, "lr": encoder_rate},
    ]


def train_body(options: Options) -> tuple[Body, list[np.ndarray], list[np.ndarray]]:
    """Return the trained body, and the pictures' packets: for training and held out."""
    torch.manual_seed(options.seed)
    train, held = pictures.load(options.data)
    body = Body(options)
    body.start(train)
    body.to(memory_format=torch.channels_last)
    fixed = [torch.from_numpy(p.astype(np.float32))[None] for p in held]

    def loss_of(step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        frozen = options.kind == "walloc" and step < options.steps // 2
        body.encoder_linear.requires_grad_(not frozen)
        if body.encoder_net is not None:
            body.encoder_net.requires_grad_(not frozen)
        x = torch.from_numpy(pictures.crops(train, rng, options.batch, options.side))
        return body.loss(x.to(memory_format=torch.channels_last), rng)

    def validate(model: Any) -> dict[str, float]:
        return {
            f"held_psnr_{rate:g}": float(
                np.mean([psnr(float(model.error(x, model.quantized(x, rate)))) for x in fixed])
            )
            for rate in RATES[options.kind]
        }

    model = loop.fit(
        body,
        optimizer_groups(body),
        loss_of,
        steps=options.steps,
        seed=options.seed,
        folder=Path(options.out),
        resume=options.resume,
        validate=validate,
        every=min(100, options.steps),
    )
    assert isinstance(model, Body)
    return model, train, held


def run(options: Options) -> Path:
    """Train a tokenizer and its prior; write its weights and card, and return the weights' path."""
    torch.set_num_threads(1)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "options.json").write_text(json.dumps(options.__dict__, indent=1))
    body, train, held = train_body(options)
    from narrows.training.ship import ship

    return ship(body, train, held, options, folder)
