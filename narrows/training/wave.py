"""Trains the context networks and first tables of `wave`.

A network maps 44 magnitudes around a coefficient to a point (u, v) of a 32 x 2 grid of tables. Networks and
tables are trained jointly by the code length of the coefficient's token, its log-probability taken bilinearly
between the four tables around the point. Samples come from the codec itself: in round 1 from a blank model,
then from pictures quantized with the model before. Weights are trained as they run: int8, 7-bit activations.
"""

from __future__ import annotations

import csv
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from narrows import _core

NETS, LEVELS, INPUTS, HIDDEN1, HIDDEN2, GRID_U, GRID_V, TOKENS = 12, 6, 44, 32, 16, 32, 2, 17
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Options:
    """`seed` fixes everything random; `every` is how rarely level 1 is sampled."""

    data: str = ""
    out: str = "runs/wave"
    seed: int = 1
    rounds: int = 3
    steps: int = 2500
    batch: int = 2048
    every: int = 48
    least_step: float = 2.0
    largest_step: float = 260.0
    sets: str = "lossy,lossless"


def blank_model() -> Arrays:
    """Networks that always name table 0, and uniform tables."""
    return {
        "w1": np.zeros((NETS, HIDDEN1, INPUTS), np.int8),
        "w2": np.zeros((NETS, HIDDEN2, HIDDEN1), np.int8),
        "w3": np.zeros((NETS, 2, HIDDEN2), np.int8),
        "b1": np.zeros((NETS, LEVELS, HIDDEN1), np.int16),
        "b2": np.zeros((NETS, HIDDEN2), np.int32),
        "b3": np.zeros((NETS, 2), np.int32),
        "m1": np.zeros((NETS, HIDDEN1), np.int16),
        "m2": np.zeros((NETS, HIDDEN2), np.int16),
        "m3": np.zeros((NETS, 2), np.int16),
        "costs": costs_of(np.ones((NETS, GRID_U * GRID_V, TOKENS))),
    }


def split_pictures(folder: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """Training files, and two validation sets: the `lomiri` pictures and every tenth author."""
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    authors = sorted({row["author"] for row in rows if "lomiri" not in row["source"]})
    held = set(authors[::10])
    train, lomiri, tenth = [], [], []
    for row in rows:
        path = folder / row["file"]
        if "lomiri" in row["source"]:
            lomiri.append(path)
        elif row["author"] in held:
            tenth.append(path)
        else:
            train.append(path)
    return train, lomiri, tenth


def rendering(path: Path, kind: int, rng: np.random.Generator) -> np.ndarray:
    """A picture as it is (0), sharpened (1), grainy (2), both (3) or halved (4). uint8 [height, width, 3]."""
    from PIL import Image, ImageFilter

    picture = Image.open(path).convert("RGB")
    if kind == 4:
        picture = picture.reduce(2)
    if kind in (1, 3):
        picture = picture.filter(
            ImageFilter.UnsharpMask(
                radius=float(rng.uniform(0.6, 1.6)), percent=int(rng.integers(50, 180)), threshold=0
            )
        )
    pixels = np.asarray(picture)
    if kind in (2, 3):
        sigma = rng.uniform(1.0, 6.0)
        shape = pixels.shape[:2]
        grain = rng.normal(0, sigma, (*shape, 1)) + rng.normal(0, sigma * 0.4, (*shape, 3))
        pixels = np.clip(np.rint(pixels + grain), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(pixels)


def tokens_of(residual: np.ndarray, lossless: bool) -> np.ndarray:
    """The token 0..16 of each residual, as coder.cpp splits them."""
    a = np.abs(residual.astype(np.int64))
    if not lossless:
        return np.minimum(a, 16)
    octave = np.floor(np.log2(np.maximum(a, 1))).astype(np.int64)
    upper = 8 + (octave - 3) * 2 + ((a >> np.maximum(octave - 1, 0)) & 1)
    return np.where(a < 8, a, np.where(a < 128, upper, 16))


def collect(options: Options, files: list[Path], model: Any, lossless: bool, round_number: int) -> Arrays:
    """Samples from one rendering and one random step of each picture, several passes."""
    rng = np.random.default_rng([options.seed, round_number, int(lossless)])
    parts: list[tuple[np.ndarray, ...]] = []
    kinds = [0, 1, 2, 3, 4] if not lossless else [0, 1, 2, 3, 2]
    passes = 3
    for number in range(passes):
        for i, path in enumerate(files):
            kind = kinds[(i + number * 2) % len(kinds)]
            if lossless and kind == 0 and path.suffix == ".jpg":
                kind = 4
            pixels = rendering(path, kind, rng)
            step = float(np.exp(rng.uniform(np.log(options.least_step), np.log(options.largest_step))))
            encoder = _core.WaveEncoder(model, pixels, 8, lossless)
            parts.append(encoder.samples(int(step * 256), 369, int(rng.integers(1 << 31)), options.every))
    inputs, net, level, residual, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    return {
        "inputs": inputs,
        "net": net,
        "level": level,
        "token": tokens_of(residual, lossless).astype(np.uint8),
        "weight": weight,
    }


def costs_of(probabilities: np.ndarray) -> np.ndarray:
    """Costs uint8 in 1/16 bit of probabilities [..., 17], at most 15.9 bits."""
    share = np.maximum(probabilities / probabilities.sum(-1, keepdims=True), 2.0**-15)
    return np.clip(np.rint(-16 * np.log2(share)), 0, 255).astype(np.uint8)


class Trainer:
    """Twelve networks and their tables as one batched torch module; see the module's docstring."""

    def __init__(self, seed: int, start: dict[str, Any] | None = None) -> None:
        import torch

        self.torch = torch
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int, scale: float) -> Any:
            return (torch.randn(*shape, generator=generator) * scale).requires_grad_()

        scales = np.logspace(-4, 7.5, GRID_U, base=2)
        values = np.arange(TOKENS)
        tables = np.zeros((NETS, GRID_U, GRID_V, TOKENS))
        for u, scale in enumerate(scales):
            logits = -values / scale * 1.0
            logits[16] = np.log(np.exp(-16 / scale) / max(1 - np.exp(-1 / scale), 1e-9) + 1e-9)
            for v in range(GRID_V):
                tables[:, u, v] = logits
                tables[:, u, v, 0] += (v - 0.5) * 1.0
        self.p: dict[str, Any] = {
            "w1": normal(NETS, HIDDEN1, INPUTS, scale=0.2),
            "b1": torch.full((NETS, LEVELS, HIDDEN1), 0.1).requires_grad_(),
            "w2": normal(NETS, HIDDEN2, HIDDEN1, scale=0.25),
            "b2": torch.full((NETS, HIDDEN2), 0.1).requires_grad_(),
            "w3": normal(NETS, 2, HIDDEN2, scale=0.5),
            "b3": torch.tensor([[8.0, 0.5]] * NETS).requires_grad_(),
            "tables": torch.tensor(tables, dtype=torch.float32).requires_grad_(),
        }
        with torch.no_grad():
            self.p["w3"][:, 0] *= 6
        if start is not None:
            with torch.no_grad():
                for name, value in start.items():
                    self.p[name].copy_(torch.as_tensor(value))

    def quantized(self, w: Any, denominator: float) -> tuple[Any, Any]:
        """Weights rounded to what int8 and a multiplier below 1024 can hold, and the multipliers."""
        torch = self.torch
        peak = w.detach().abs().amax(-1)
        m = torch.clamp(torch.ceil(peak / 127 * denominator), 1, 1023)
        scale = (m / denominator).unsqueeze(-1)
        q = torch.clamp(torch.round(w / scale), -127, 127) * scale
        return w + (q - w).detach(), m

    def forward(self, x: Any, level: Any, exact: bool) -> Any:
        """Grid points [nets, batch, 2] from inputs [nets, batch, 44] in 1/64 and levels [nets, batch]."""
        torch, p = self.torch, self.p

        def activation(h: Any) -> Any:
            h = torch.clamp(h, 0, 127 / 32)
            return h + (torch.round(h * 32) / 32 - h).detach() if exact else h

        w1, w2, w3 = p["w1"], p["w2"], p["w3"]
        if exact:
            w1, w2, w3 = (self.quantized(w, d)[0] for w, d in ((w1, 2.0**15), (w2, 2.0**15), (w3, 2.0**13)))
        bias = torch.gather(p["b1"], 1, level.unsqueeze(-1).expand(-1, -1, HIDDEN1))
        h = activation(torch.baddbmm(bias, x, w1.transpose(1, 2)))
        h = activation(torch.baddbmm(p["b2"].unsqueeze(1), h, w2.transpose(1, 2)))
        return torch.baddbmm(p["b3"].unsqueeze(1), h, w3.transpose(1, 2))

    def cost(self, point: Any, token: Any) -> tuple[Any, Any]:
        """Bits of each token [nets, batch], and how far points lie outside the grid."""
        torch = self.torch
        logp = torch.log_softmax(self.p["tables"], -1).reshape(NETS, GRID_U * GRID_V * TOKENS)
        u, v = point[..., 0], point[..., 1]
        outside = (
            torch.relu(-u) + torch.relu(u - (GRID_U - 1)) + torch.relu(-v) + torch.relu(v - (GRID_V - 1))
        )
        u, v = u.clamp(0, GRID_U - 1), v.clamp(0, GRID_V - 1)
        u0, v0 = u.detach().floor().clamp(0, GRID_U - 2), v.detach().floor().clamp(0, GRID_V - 2)
        fu, fv = u - u0, v - v0

        def at(du: int, dv: int) -> Any:
            cell = (u0 + du).long() * GRID_V + (v0 + dv).long()
            return torch.gather(logp, 1, cell * TOKENS + token)

        low = at(0, 0) * (1 - fv) + at(0, 1) * fv
        high = at(1, 0) * (1 - fv) + at(1, 1) * fv
        return -(low * (1 - fu) + high * fu) / np.log(2), outside

    def fit(self, samples: Arrays, steps: int, batch: int, seed: int, log: Any) -> None:
        torch = self.torch
        rng = np.random.default_rng(seed)
        order = [np.flatnonzero(samples["net"] == n) for n in range(NETS)]
        slow = [v for k, v in self.p.items() if k != "tables"]
        optimizer = torch.optim.Adam(
            [{"params": slow, "lr": 4e-3}, {"params": [self.p["tables"]], "lr": 2e-2}]
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, [4e-3, 2e-2], total_steps=steps, pct_start=0.05, final_div_factor=100
        )
        mean = 0.0
        for step in range(steps):
            pick = np.stack([o[rng.integers(0, len(o), batch)] for o in order])
            x = torch.from_numpy(samples["inputs"][pick].astype(np.float32)) / 64
            level = torch.from_numpy(samples["level"][pick].astype(np.int64)) - 1
            token = torch.from_numpy(samples["token"][pick].astype(np.int64))
            weight = torch.from_numpy(samples["weight"][pick].astype(np.float32))
            weight = weight / weight.mean(1, keepdim=True)
            bits, outside = self.cost(self.forward(x, level, exact=step > steps * 0.4), token)
            loss = ((bits + 0.02 * outside) * weight).mean(1).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            mean += loss.item()
            if (step + 1) % 250 == 0:
                log(f"step {step + 1}: {mean / 250 / NETS:.4f} bits a token")
                mean = 0.0

    def export(self, samples: Arrays | None) -> Arrays:
        """Integers for the codec. With `samples`, tables are counted again at the rounded points."""
        torch, p = self.torch, self.p
        out: Arrays = {}
        with torch.no_grad():
            for name, bias, multiplier, denominator, unit in (
                ("w1", "b1", "m1", 2.0**15, 64.0),
                ("w2", "b2", "m2", 2.0**15, 32.0),
                ("w3", "b3", "m3", 2.0**13, 32.0),
            ):
                _, m = self.quantized(p[name], denominator)
                scale = m / denominator
                out[name] = (
                    torch.clamp(torch.round(p[name] / scale.unsqueeze(-1)), -127, 127).to(torch.int8).numpy()
                )
                divisor = (scale.unsqueeze(1) if name == "w1" else scale) / unit
                limit, kind = (2**15 - 1, torch.int16) if name == "w1" else (2**20, torch.int32)
                out[bias] = torch.clamp(torch.round(p[bias] / divisor), -limit, limit).to(kind).numpy()
                out[multiplier] = m.to(torch.int16).numpy()
            probabilities = (
                torch.softmax(p["tables"], -1).reshape(NETS, GRID_U * GRID_V, TOKENS).double().numpy()
            )
            if samples is not None:
                counts = probabilities * 60.0
                for n in range(NETS):
                    chosen = np.flatnonzero(samples["net"] == n)
                    for start in range(0, len(chosen), 1 << 17):
                        part = chosen[start : start + (1 << 17)]
                        x = torch.from_numpy(samples["inputs"][part].astype(np.float32)) / 64
                        level = torch.from_numpy(samples["level"][part].astype(np.int64)) - 1
                        point = self.forward_one(n, x, level)
                        u = point[:, 0].round().clamp(0, GRID_U - 1).long()
                        v = point[:, 1].round().clamp(0, GRID_V - 1).long()
                        cell = (u * GRID_V + v).numpy() * TOKENS + samples["token"][part]
                        weight = samples["weight"][part].astype(np.float64)
                        added = np.bincount(
                            cell, weights=weight / weight.mean(), minlength=GRID_U * GRID_V * TOKENS
                        )
                        counts[n] += added.reshape(GRID_U * GRID_V, TOKENS)
                probabilities = counts / counts.sum(-1, keepdims=True)
            out["costs"] = costs_of(probabilities)
        return out

    def forward_one(self, net: int, x: Any, level: Any) -> Any:
        saved = self.p
        torch = self.torch
        try:
            self.p = {k: v[net : net + 1] for k, v in saved.items()}
            with torch.no_grad():
                return self.forward(x.unsqueeze(0), level.unsqueeze(0), exact=True)[0]
        finally:
            self.p = saved

    def state(self) -> Arrays:
        return {k: v.detach().numpy().copy() for k, v in self.p.items()}


def train_set(options: Options, lossless: bool, log: Any) -> Arrays:
    """All rounds of one set; resumes after the last whole round."""
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    name = "lossless" if lossless else "lossy"
    files, _, _ = split_pictures(Path(options.data) / "images_train")
    current = blank_model()
    state: Arrays | None = None
    rounds = 2 if lossless else options.rounds
    for number in range(1, rounds + 1):
        path = folder / f"{name}-{options.seed}-{number}.npz"
        if path.exists():
            loaded = dict(np.load(path))
            current = {k[4:]: v for k, v in loaded.items() if k.startswith("int.")}
            state = {k[4:]: v for k, v in loaded.items() if k.startswith("net.")}
            continue
        started = time.process_time()
        model = _core.WaveModel(current, current)
        samples = collect(options, files, model, lossless, number)
        log(f"{name} round {number}: {len(samples['net']):,} samples, {time.process_time() - started:.0f} s")
        trainer = Trainer(options.seed, state)
        trainer.fit(
            samples,
            options.steps if number < rounds else options.steps * 2,
            options.batch,
            options.seed + number,
            log,
        )
        current, state = trainer.export(samples), trainer.state()
        arrays: dict[str, Any] = {f"int.{k}": v for k, v in current.items()}
        np.savez(path, **arrays | {f"net.{k}": v for k, v in state.items()})
        log(f"{name} round {number} done: {time.process_time() - started:.0f} s of CPU")
    return current


def save(sets: dict[str, Arrays], folder: Path, options: Options) -> Path:
    """Write `wave-HASH.safetensors`, both sets' integers under `lossy.` and `lossless.`; return its path."""
    import hashlib

    from safetensors.numpy import save as serialize

    manifest = (Path(options.data) / "images_train" / "manifest.csv").read_bytes()
    data = serialize(
        {
            f"{name}.{key}": np.ascontiguousarray(array)
            for name, arrays in sets.items()
            for key, array in arrays.items()
        },
        {
            "codec": "wave",
            "codec_version": "1",
            "recipe": "narrows train wave",
            "options": json.dumps({k: v for k, v in options.__dict__.items() if k not in ("data", "out")}),
            "license": "Apache-2.0",
            "data_manifest_sha256": hashlib.sha256(manifest).hexdigest(),
        },
    )
    path = folder / f"wave-{hashlib.sha256(data).hexdigest()[:16]}.safetensors"
    path.write_bytes(data)
    return path


def run(options: Options) -> Path:
    """Trains both sets and writes the weights file; returns its path."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    log_file = Path(options.out) / "log.txt"
    Path(options.out).mkdir(parents=True, exist_ok=True)

    def log(line: str) -> None:
        print(line, flush=True)
        with log_file.open("a", encoding="utf-8") as f:
            f.write(line + "\n")

    log(json.dumps(options.__dict__))
    sets = {}
    for name in options.sets.split(","):
        sets[name] = train_set(options, name == "lossless", log)
    path = save(sets, Path(options.out), options)
    log(f"{path.name}: {path.stat().st_size:,} bytes")
    return path


if __name__ == "__main__":
    import sys

    chosen = dict(a.split("=", 1) for a in sys.argv[1:])
    chosen.setdefault("data", os.environ.get("NARROWS_DATA", ""))
    kinds = {k: type(v) for k, v in Options().__dict__.items()}
    run(Options(**{k: kinds[k](v) for k, v in chosen.items()}))
