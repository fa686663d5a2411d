"""Sources of known bounds, and what a bottleneck makes of them in real bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from narrows.bottlenecks.bottleneck import Bottleneck

Point = tuple[float, float]
RATE, SNR = "bits a coefficient, real bytes", "signal to noise, dB"


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=rng(seed))


def decibels(z: Tensor, z_hat: Tensor) -> float:
    return 10 * math.log10(float(z.square().mean() / (z - z_hat).square().mean()))


def sent(code: Bottleneck, z: Tensor) -> tuple[float, Tensor]:
    """Return the bits of `z` as bytes and what is decoded from them, in eval mode."""
    code.eval()
    with torch.no_grad():
        symbols = code.quantize(z)
        payload = code.encode(symbols)
        return 8.0 * len(payload), code.dequantize(code.decode(payload, symbols.shape))


def point(code: Bottleneck, train: Tensor, test: Tensor, steps: int = 1) -> Point:
    """Return bits a coefficient and dB of a code that has seen `train`, a batch a step."""
    with torch.no_grad():
        for _ in range(steps):
            code.relax(train)
    bits, found = sent(code, test)
    return bits / test.numel(), decibels(test, found)


def fit(parameters: Sequence[Tensor], loss: Callable[[int], Tensor], steps: int, rate: float = 3e-3) -> None:
    """Minimize `loss` of the step's number by Adam with a cosine schedule."""
    optimizer = torch.optim.Adam(list(parameters), rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        optimizer.zero_grad()
        loss(step).backward()
        optimizer.step()
        schedule.step()


def clusters(count: int, seed: int, dim: int = 12, kinds: int = 40) -> Tensor:
    """Vectors around 40 centers, each spread along two directions of its own."""
    centers, spans = normal(kinds, dim, seed=77), 0.5 * normal(kinds, 2, dim, seed=78)
    of = torch.randint(kinds, (count,), generator=rng(seed))
    along = normal(count, 1, 2, seed=seed + 1000)
    return centers[of] + (along @ spans[of])[:, 0] + 0.1 * normal(count, dim, seed=seed + 2000)


class AutoEncoder(nn.Module):
    """Two small networks around a bottleneck."""

    def __init__(self, code: Bottleneck, dim: int, latent: int, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.code = code
        self.encoder = nn.Sequential(nn.Linear(dim, 64), nn.ReLU(), nn.Linear(64, latent))
        self.decoder = nn.Sequential(nn.Linear(latent, 64), nn.ReLU(), nn.Linear(64, dim))

    def fit(self, data: Tensor, penalty: Callable[[dict[str, Tensor]], Tensor], steps: int = 400) -> None:
        """Minimize the mean squared error plus `penalty` of the bottleneck's losses, 256 items a step."""

        def loss(step: int) -> Tensor:
            x = data[torch.arange(256 * step, 256 * (step + 1)) % len(data)]
            relaxed = self.code.relax(self.encoder(x))
            return (self.decoder(relaxed.z_hat) - x).square().mean() + penalty(relaxed.losses)

        parameters = [*self.encoder.parameters(), *self.decoder.parameters()]
        fit(parameters, loss, steps, 5e-3)

    def reached(self, x: Tensor) -> Point:
        """Return the bits an item of `x` as bytes and the dB decoded from them."""
        with torch.no_grad():
            bits, found = sent(self.code, self.encoder(x))
            return bits / len(x), decibels(x, self.decoder(found))
