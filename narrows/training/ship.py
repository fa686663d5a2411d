"""From a trained body to a weights file: integer networks, the code, a prior fitted to exact symbols."""

from __future__ import annotations

import copy
import csv
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from narrows.nets.integer import IntegerNetwork, export
from narrows.tokenizers import image
from narrows.tokenizers.image import INPUT_BITS, LATENT_BITS, MOST_INPUT, OUTPUT_BITS, Stack
from narrows.training import pictures, prior
from narrows.training.pictures import UNIT

# Rates of quality 0 and 100, as `Stack.rates` has them: steps in 1/64 latent, or 1/16 symbol for `walloc`.
RATES = {"vae": (1300, 150), "wae": (400, 48), "walloc": (240, 20)}
_WEIGHT_BITS, _LINEAR_BITS, _ACTIVATION_BITS = 8, 12, 12


def ship(body: Any, train: list[np.ndarray], held: list[np.ndarray], options: Any, folder: Path) -> Path:
    """Write `NAME-HASH.safetensors` into `folder` and return its path."""
    arrays = {**networks(body, train), "kind": np.array([image.KINDS.index(options.kind)], np.int8)}
    arrays |= {"rates": np.array(_rates(options), np.int32)}
    return with_prior(arrays, train, held, options, folder)


def with_prior(
    arrays: dict[str, np.ndarray], train: list[np.ndarray], held: list[np.ndarray], options: Any, folder: Path
) -> Path:
    """Fit a prior to what `arrays` make of pictures, in place of theirs if any; write the file, as `ship`."""
    from safetensors.numpy import save

    started = time.process_time()
    arrays = {name: value for name, value in arrays.items() if not name.startswith("prior.")}
    stack = _without_prior(arrays)
    coded = [pair for i, picture in enumerate(train[::2]) for pair in _coded(stack, picture, i)]
    fitted, told = prior.fit(coded, stack.is_binary, steps=options.prior_steps, seed=options.seed)
    arrays |= image.prior_arrays(fitted)
    manifest = (Path(options.data) / "images_train" / "manifest.csv").read_bytes()
    said = {key: value for key, value in options.__dict__.items() if key not in ("data", "out", "resume")}
    data = _in_order(
        save(
            {name: np.ascontiguousarray(value) for name, value in arrays.items()},
            {
                "codec": f"tokens/{options.kind}",
                "codec_version": "1",
                "recipe": f"narrows train {options.kind}",
                "options": json.dumps(said),
                "license": "Apache-2.0",
                "data_manifest_sha256": hashlib.sha256(manifest).hexdigest(),
            },
        )
    )
    path = folder / f"{options.kind}-{hashlib.sha256(data).hexdigest()[:16]}.safetensors"
    path.write_bytes(data)
    rows = [*measured(Stack.from_arrays(arrays), held)]
    told_rows = [{"file": path.name, "bytes": len(data), **told, **row} for row in rows]
    with (folder / "shipped.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(told_rows[0]))
        writer.writeheader()
        writer.writerows(told_rows)
    cost = time.process_time() - started
    path.with_suffix(".md").write_text(
        _card(path, options, len(train[::2]), told_rows, cost), encoding="utf-8"
    )
    for row in told_rows:
        print(row, flush=True)
    print(f"shipped in {time.process_time() - started:.0f} s of CPU", flush=True)
    return path


def _card(path: Path, options: Any, num_pictures: int, rows: list[dict[str, Any]], cost: float) -> str:
    """Return the model card of a weights file: what it is, its data, command, cost and figures."""
    usual = type(options)(kind=options.kind)
    changed = [
        f"{key}={value}"
        for key, value in options.__dict__.items()
        if key not in ("kind", "data", "out", "resume") and value != getattr(usual, key)
    ]
    command = " ".join(("narrows train", options.kind, "data=FOLDER", *changed))
    log = path.parent / "log.csv"
    body = list(csv.DictReader(log.open(encoding="utf-8")))[-1]["cpu_s"] if log.is_file() else "unknown"
    lines = [
        f"# {path.stem}",
        "",
        f"Image tokenizer `{options.kind}` and codec `tokens/{options.kind}`, version 1: "
        f"{rows[0]['bytes']:,} bytes, integers only.",
        "",
        f"**Trained on** {num_pictures} pictures of `images_train`, whole and at half the size;",
        "`data_manifest_sha256` in the file's metadata names the manifest with their authors and licences.",
        "",
        f"**By** `{command}`: PyTorch {torch.__version__}, one thread,",
        f"{body} s of CPU for the body, {cost:.0f} s for the prior and these figures.",
        "",
        "**Held out**, pictures of authors that training did not see, by the exact networks:",
        "",
        "| quality | rate | bits/pixel | PSNR, dB |",
        "|---|---|---|---|",
        *(f"| {row['quality']} | {row['rate']} | {row['bpp']:.4f} | {row['psnr']:.2f} |" for row in rows),
        "",
    ]
    return "\n".join(lines)


def _rates(options: Any) -> tuple[int, int]:
    """Return the rates of quality 0 and 100: of `bsq` half the bits and all, of `vq` one stage and all."""
    if options.kind == "bsq":
        return max(1, options.channels // 2), options.channels
    return (1, options.stages) if options.kind == "vq" else RATES[options.kind]


def _in_order(data: bytes) -> bytes:
    """Return a safetensors file with its metadata sorted: `save` writes them in an order of chance."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[start:]


def measured(stack: Stack, held: list[np.ndarray]) -> list[dict[str, float]]:
    """Return bits a pixel and PSNR of held-out pictures at qualities 0 to 100, by the exact networks."""
    gains = pictures.gains()[:, None, None]
    out = []
    for quality in (0, 25, 50, 75, 100):
        rate = stack.rate_of(quality)
        bpp, psnr = [], []
        for picture in held[::3]:
            bands = picture.astype(np.float32) * np.float32(UNIT)
            symbols = stack.quantize(stack.latent(bands), rate)
            found = stack.bands(stack.dequantize(symbols, rate))
            error = (np.square(found - bands, dtype=np.float64) * gains).mean()
            psnr.append(10 * np.log10(255**2 / error))
            sides = np.full((stack.prior.num_sides, *symbols.shape), stack.side(rate), np.uint8)
            payload = stack.prior.encode(symbols, sides, check=False, hash_index=False)
            bpp.append(8 * len(payload) / (64 * symbols[0].size))
        out.append(
            {"quality": quality, "rate": rate, "bpp": float(np.mean(bpp)), "psnr": float(np.mean(psnr))}
        )
    return out


def _coded(stack: Stack, picture: np.ndarray, number: int) -> list[tuple[np.ndarray, int]]:
    """Return the symbols of a picture at two rates of its own, and the side byte of each; of bits, at one."""
    latent = stack.latent(picture.astype(np.float32) * np.float32(UNIT))
    if stack.is_binary:
        return [(stack.quantize(latent, max(stack.rates)), 0)]
    qualities = [(place * 0.6180339887 % 1) * 130 - 15 for place in (2 * number, 2 * number + 1)]
    rates = [max(1, stack.rate_of(quality)) for quality in qualities]
    return [(stack.quantize(latent, rate), stack.side(rate)) for rate in rates]


def _without_prior(arrays: dict[str, np.ndarray]) -> Stack:
    """Return the stack of `arrays` before its prior is fitted."""
    blank = prior.blank(arrays["kind"][0] in (image.KINDS.index("vq"), image.KINDS.index("bsq")))
    return Stack.from_arrays({**arrays, **image.prior_arrays(blank)})


@torch.no_grad()
def networks(body: Any, train: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Return the body's networks in integers, and its code."""
    options, rng = body.options, np.random.default_rng(7)
    body = copy.deepcopy(body).eval().to(memory_format=torch.contiguous_format).double()
    crops = torch.from_numpy(pictures.crops(train, rng, 96, 16)).double()
    latent = body.encode(crops)
    c = options.channels
    gain = torch.ones(c, dtype=torch.float64)
    code = np.zeros(0, np.int16)
    fixed = 1 << LATENT_BITS
    if options.kind == "vae":
        # The mean posterior deviation becomes one: a step is then alike in all channels.
        gain = torch.exp(-latent[:, c:].clamp(-14, 6).mean((0, 2, 3)) / 2)
    elif options.kind == "vq":
        code = np.stack([_ordered(stage.codes.double().numpy()) for stage in body.bottleneck.stages])
        code = np.rint(code * fixed).astype(np.int16)
    elif options.kind == "walloc":
        most = 16 * body.bottleneck.most
        u = torch.arange(-most, most + 1, dtype=torch.float64) / 16
        code = np.rint(body.bottleneck.expand(u).numpy() * fixed).astype(np.int16)
        code = np.maximum.accumulate(code)
    given = torch.round(crops * UNIT * 2**INPUT_BITS).clamp(-MOST_INPUT, MOST_INPUT).long()
    scale = 1 / (UNIT * 2**INPUT_BITS)
    out: dict[str, np.ndarray] = {"code": code} if code.size else {}
    if options.kind == "bsq":
        said = np.rint(body.feedback.detach().numpy() * fixed)
        out["feedback"] = np.clip(np.tril(said, -1), -(2**15), 2**15 - 1).astype(np.int16)
    parts = {"linear": nn.Sequential(body.encoder_linear), "net": body.encoder_net}
    for name, net in parts.items():
        if net is not None:
            _fold(net, scale, gain, c)
            out |= _exported(net, given, name, LATENT_BITS).arrays(f"encoder.{name}.")
    z_hat = _decoder_input(body, latent, gain, rng)
    symbols = torch.round(z_hat * fixed).clamp(-MOST_INPUT, MOST_INPUT).long()
    # A bit is one in integers, and what the bottleneck makes of it in the body.
    inner = float(body.bottleneck.scale) if options.kind == "bsq" else 1.0
    for name, net in (("linear", nn.Sequential(body.decoder_linear)), ("net", body.decoder_net)):
        first = net[0]
        first.weight.mul_((inner / fixed / gain).reshape(1, -1, 1, 1))
        net[-1].weight.mul_(UNIT)
        net[-1].bias.mul_(UNIT)
        out |= _exported(net, symbols, name, OUTPUT_BITS).arrays(f"decoder.{name}.")
    return out


def _decoder_input(body: Any, latent: Tensor, gain: Tensor, rng: np.random.Generator) -> Tensor:
    """Return what decoders meet, in the units of the weights file, for latents of training pictures."""
    options, c = body.options, body.options.channels
    if options.kind == "vae":
        return latent[:, :c] * gain.reshape(1, -1, 1, 1)
    if options.kind == "vq":
        return body.bottleneck.dequantize(body.bottleneck.quantize(latent.float())).double()
    if options.kind == "bsq":
        return torch.where(latent > 0, 1.0, -1.0).double()
    return latent


def _fold(net: nn.Sequential, scale: float, gain: Tensor, channels: int) -> None:
    """Let a net take integers and give latents times `gain`, of the first `channels` only."""
    net[0].weight.mul_(scale)
    last = net[-1]
    last.weight = nn.Parameter(last.weight[:channels] * gain.reshape(-1, 1, 1, 1))
    last.bias = nn.Parameter(last.bias[:channels] * gain)
    last.out_channels = channels


def _exported(net: nn.Sequential, sample: Tensor, name: str, fraction_bits: int) -> IntegerNetwork:
    return export(
        net,
        sample,
        fraction_bits=fraction_bits,
        weight_bits=_LINEAR_BITS if name == "linear" else _WEIGHT_BITS,
        activation_bits=_ACTIVATION_BITS,
        most_input=MOST_INPUT,
    )


def _ordered(codes: np.ndarray) -> np.ndarray:
    """Return codes so that an id's bits decide from coarse to fine: halves along the widest axis."""
    if len(codes) == 1:
        return codes
    centered = codes - codes.mean(0)
    axis = np.linalg.svd(centered, full_matrices=False)[2][0]
    axis *= 1 if axis[np.abs(axis).argmax()] > 0 else -1
    order = np.argsort(centered @ axis, kind="stable")
    half = len(codes) // 2
    return np.concatenate([_ordered(codes[order[:half]]), _ordered(codes[order[half:]])])
