"""Trains the context tables of `speech` and `music`: sums of table entries as logits of binary decisions.

The codec itself gives the samples: each clip is quantized at random steps, alone (one frame a packet) and in
packets of several frames, and every decision is recorded with the entries it met. A logistic regression over
all entries at once (Adagrad, which moves rarely met entries with care) gives tables as int16, 1/256 nat. What
is quantized depends on what it costs: a second round samples under the tables of the first and fits anew.
"""

from __future__ import annotations

import csv
import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from narrows import _core, files
from narrows.errors import OptionError

Arrays = dict[str, np.ndarray]
NAMES = ("coefficients", "envelope", "bands", "flags")  # of what is learned
# As core/src/audio/tables.hpp has them; 16 decisions a context.
COEFFICIENT_CONTEXTS = (64, 64, 144, 144, 192, 384, 243, 97, 243)
ENVELOPE_CONTEXTS = (48, 32, 91, 91, 170, 192)
BAND_CONTEXTS = (48, 192, 80, 81)
STEP_ZERO = 16
_LARGEST = 3600  # nine add up in 16 bits
_ROUNDS = 2


@dataclass(frozen=True)
class Options:
    """`draws` steps a clip and length of packets; one packet in `every`; one clip in `held` is left out.

    `steps`: what bands add to 256 log2 of the quantizer's step, from the lowest to the highest (in `speech`
    the highest below 8 kHz), linear between.
    """

    data: str = ""
    out: str = "runs/audio"
    codec: str = "speech"
    steps: str = "0"
    seed: int = 1
    draws: int = 2
    epochs: int = 3
    batch: int = 16384
    rate: float = 0.15
    held: int = 0
    low_step: int = 3400
    high_step: int = 5200
    low_gamma: int = 6
    high_gamma: int = 16
    every: int = 2
    limit: int = 8_000_000


def blank_model(options: Options) -> Any:
    """Tables of zeros: every decision an even chance."""
    tables = [np.zeros(size, np.int16) for size in _core.audio_model_sizes()[:-1]]
    return _core.AudioModel(*tables, steps_of(options))


def steps_of(options: Options) -> np.ndarray:
    """int16 [bands]."""
    bands = np.arange(_core.audio_model_sizes()[-1]) / (15 if options.codec == "speech" else 23)
    knots = [float(v) for v in options.steps.split(",")]
    steps = np.interp(bands, np.linspace(0, 1, len(knots)), knots)
    return np.rint(steps).astype(np.int16)


def clips(options: Options) -> list[tuple[np.ndarray, int, int]]:
    """(samples [time, channels], rate, internal rate) of every clip. Of speech there is none above 8 kHz, so
    that music teaches what lies there at 24 kHz inside, and nothing below.
    """
    folder = Path(options.data)
    if not options.data or not (folder / f"{options.codec}_train").is_dir():
        raise OptionError(f"data must be a folder that has {options.codec}_train (or set NARROWS_DATA)")
    found = []
    for number, path in enumerate(sorted((folder / f"{options.codec}_train").glob("*.flac"))):
        if options.held and number % options.held == 0:
            continue
        audio: Any = files.read(path)
        samples, rate = audio.samples, audio.sample_rate_hz
        if options.codec == "speech":
            found.append((samples[:, :1], rate, 16_000))
        else:
            found.append((samples, rate, 44_100 if rate <= 44_100 else 48_000))
    if options.codec == "speech":
        for path in sorted((folder / "music_train").glob("*.flac")):
            audio = files.read(path)
            found.append((audio.samples[:, :1], audio.sample_rate_hz, 24_000))
    return found


def above_8_khz(name: str, entries: np.ndarray) -> np.ndarray:
    """Which decisions [n] are of bands above 8 kHz at 24 kHz inside, by the table whose context begins with
    the band.
    """
    sizes, decisions, place, contexts_a_band = {
        "coefficients": (COEFFICIENT_CONTEXTS, 16, 5, 16),
        "envelope": (ENVELOPE_CONTEXTS, 16, 0, 2),
        "bands": (BAND_CONTEXTS, 1, 1, 8),
        "flags": ((1,), 16, 0, 1 << 30),
    }[name]
    start = decisions * sum(sizes[:place])
    context = (entries[:, place] % (decisions * sum(sizes)) - start) // decisions
    return np.asarray(context // contexts_a_band >= 16)


def collect(model: Any, options: Options, log: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Entries [n, tables] and bits [n] of each kind of decision that is coded under `model`."""
    rng = np.random.default_rng(options.seed)
    parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name in NAMES}
    for samples, rate, inside in clips(options):
        for frames in (1, 8):
            for _ in range(options.draws):
                step = int(rng.integers(options.low_step, options.high_step))
                params = _core.audio_params(
                    inside, frames, step, True, int(rng.integers(options.low_gamma, options.high_gamma)), 0, 0
                )
                encoder = _core.AudioEncoder(model, params, rate, samples.shape[1])
                encoder.sample(options.every)
                encoder.push(np.ascontiguousarray(samples))
                encoder.finish()
                drawn = encoder.samples()
                for i, name in enumerate(NAMES):
                    entries, bits = drawn[2 * i], drawn[2 * i + 1][:, 0]
                    if inside == 24_000:
                        kept = above_8_khz(name, entries)
                        entries, bits = entries[kept], bits[kept]
                    if len(bits):
                        parts[name].append((entries, bits))
    whole = {}
    for name in NAMES:
        entries = np.concatenate([entry for entry, _ in parts[name]])
        bits = np.concatenate([bit for _, bit in parts[name]])
        if len(bits) > options.limit:
            pick = rng.choice(len(bits), options.limit, replace=False)
            entries, bits = entries[pick], bits[pick]
        whole[name] = (entries.astype(np.int32), bits)
        log(f"{name}: {len(bits):,} decisions")
    return whole


def fit(entries: np.ndarray, bits: np.ndarray, size: int, options: Options, log: Any) -> np.ndarray:
    """Logits [size], in nats, that minimize the cost of the bits."""
    import torch

    rng = np.random.default_rng(options.seed)
    table = torch.zeros(size, 1, requires_grad=True)
    optimizer = torch.optim.Adagrad([table], lr=options.rate, initial_accumulator_value=0.02)
    for epoch in range(options.epochs):
        order = rng.permutation(len(bits))
        total = 0.0
        for group in optimizer.param_groups:
            group["lr"] = options.rate * 0.6**epoch
        for start in range(0, len(order), options.batch):
            pick = order[start : start + options.batch]
            x = torch.from_numpy(entries[pick])
            y = torch.from_numpy(bits[pick].astype(np.float32))
            logit = torch.nn.functional.embedding_bag(x, table, mode="sum")[:, 0]
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logit, y, reduction="sum")
            optimizer.zero_grad()
            (loss / options.batch**0.5).backward()
            optimizer.step()
            total += loss.item()
        log(f"  epoch {epoch + 1}: {total / len(bits) / np.log(2):.5f} bits a decision")
    return table.detach().numpy()[:, 0]


def train(options: Options, log: Any) -> Arrays:
    """The arrays of a model."""
    core = blank_model(options)
    for number in range(_ROUNDS):
        log(f"round {number + 1}")
        model = _fitted(core, options, log)
        core = _core.AudioModel(*(model[name] for name in NAMES), model["steps"])
    return model


def _fitted(core: Any, options: Options, log: Any) -> Arrays:
    """The arrays of a model for what `core` codes."""
    samples = collect(core, options, log)
    model = {}
    for name, size in zip(NAMES, _core.audio_model_sizes(), strict=False):
        entries, bits = samples[name]
        log(name)
        if name == "flags":  # one entry each: counting is enough
            ones, all_ = (np.bincount(entries[:, 0], weights=w, minlength=size) for w in (bits, None))
            logits = np.log((ones + 0.4) / (all_ - ones + 0.4))
            # What rate control does is not in the samples: step offsets around 6.
            logits[STEP_ZERO:] = np.log([0.12 / 0.88, 1.0, *[0.84 / 0.16] * (size - STEP_ZERO - 2)])
        else:
            logits = fit(entries, bits, size, options, log)
        model[name] = np.clip(np.rint(logits * 256), -_LARGEST, _LARGEST).astype(np.int16)
    model["steps"] = steps_of(options)
    return model


def save(model: Arrays, options: Options) -> Path:
    """Write `CODEC-HASH.safetensors`; return its path."""
    from safetensors.numpy import save as serialize

    rows = [
        row
        for row in csv.reader((Path(options.data) / "audio_manifest.csv").open(encoding="utf-8"))
        if row and row[0].startswith(f"{options.codec}_train")
    ]
    data = serialize(
        model,
        {
            "codec": options.codec,
            "codec_version": "1",
            "recipe": f"narrows train {options.codec}",
            "options": json.dumps({k: v for k, v in options.__dict__.items() if k not in ("data", "out")}),
            "license": "Apache-2.0",
            "data_manifest_sha256": hashlib.sha256(json.dumps(rows).encode()).hexdigest(),
        },
    )
    path = Path(options.out) / f"{options.codec}-{hashlib.sha256(data).hexdigest()[:16]}.safetensors"
    path.write_bytes(data)
    return path


def run(options: Options) -> Path:
    """Trains the tables and writes the weights file; returns its path."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    Path(options.out).mkdir(parents=True, exist_ok=True)
    started = time.process_time()

    def log(line: str) -> None:
        print(line, flush=True)

    path = save(train(options, log), options)
    log(f"{path.name}: {path.stat().st_size:,} bytes, {time.process_time() - started:.0f} s of CPU")
    return path
