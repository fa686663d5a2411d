"""Measure what code written against other entropy coders gains by the doors of narrows.entropy.compat.

    python benchmarks/compat.py                  measure, print, write runs/compat.json
    python benchmarks/compat.py --figure FILE    draw the figure of the last run

Each library and the door to it take turns in one process; times are CPU time of one thread, medians. Models
have random weights, scaled so that latents take all sizes, on a crop of a Kodak picture where NARROWS_DATA is
set, on noise elsewhere. Libraries that are not installed are left out.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ink import INK, OURS, THEIRS

from narrows.bench.entropy import workloads
from narrows.entropy.compat import compressai, constriction, torch_ans, torchac

RUN = Path("runs/compat.json")
Row = dict[str, Any]
Calls = dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]]


def take_turns(calls: Calls, wanted: Any, rounds: int) -> dict[str, tuple[float, float, int]]:
    """Return seconds of encoding and decoding, and bytes, of each of `calls`."""
    spent: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in calls}
    sizes = {}
    for number in range(rounds + 1):
        for name, (encode, decode) in calls.items():
            began = time.thread_time()
            payload = encode()
            between = time.thread_time()
            decoded = decode(payload)
            ended = time.thread_time()
            if number == 0:  # unmeasured: checks
                if not np.array_equal(np.asarray(decoded).reshape(-1), np.asarray(wanted).reshape(-1)):
                    raise SystemExit(f"{name} gives other symbols back")
                sizes[name] = size_of(payload)
                continue
            spent[name][0].append(between - began)
            spent[name][1].append(ended - between)
    return {
        name: (statistics.median(times[0]), statistics.median(times[1]), sizes[name])
        for name, times in spent.items()
    }


def size_of(payload: Any) -> int:
    if isinstance(payload, (list, tuple)):
        return sum(size_of(part) for part in payload)
    return payload.nbytes if isinstance(payload, np.ndarray) else len(payload)


def rows_of(case: str, found: dict[str, tuple[float, float, int]], count: int) -> Iterator[Row]:
    theirs = next(iter(found.values()))
    for name, (encode, decode, size) in found.items():
        yield {
            "case": case,
            "coder": name,
            "encode_ns": round(encode / count * 1e9, 2),
            "decode_ns": round(decode / count * 1e9, 2),
            "bytes": size,
            "encode_times": round(theirs[0] / encode, 2),
            "decode_times": round(theirs[1] / decode, 2),
        }


def entropy_models(size: int, rounds: int) -> Iterator[Row]:
    """CompressAI's EntropyModel.compress and .decompress: one tensor, and a batch of four."""
    torch = importlib.import_module("torch")
    gaussian = importlib.import_module("compressai.entropy_models").GaussianConditional
    for name, batch in (("w1", 1), ("w2", 1), ("w1", 4)):
        work = workloads.make(name, size)
        symbols = torch.from_numpy(work.symbols.astype(np.float32)).reshape(batch, 1, -1)
        index = torch.from_numpy(work.index.astype(np.int32)).reshape(batch, 1, -1)
        calls: Calls = {}
        for format in (None, "compressai", "narrows"):
            model = gaussian(workloads.scale_table(64).tolist())
            model.update()
            if format:
                compressai.use(model, format=format)
            label = "CompressAI" if format is None else f"door, {format} format"
            calls[label] = (
                lambda model=model, s=symbols, i=index: model.compress(s, i),
                lambda strings, model=model, i=index: model.decompress(strings, i),
            )
        case = f"EntropyModel, {name.upper()}" + (f", batch of {batch}" if batch > 1 else "")
        yield from rows_of(case, take_turns(calls, symbols, rounds), size)


def picture(torch: Any) -> Any:
    """Return a crop of a Kodak picture [1, 3, 256, 384], or noise."""
    data = os.environ.get("NARROWS_DATA")
    if not data:
        return torch.rand(1, 3, 256, 384, generator=torch.Generator().manual_seed(0))
    from PIL import Image

    with Image.open(Path(data) / "images_eval/kodak/kodim23.png") as image:
        pixels = np.asarray(image.convert("RGB"))[128:384, 192:576]
    return torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None]


def models(_: int, rounds: int) -> Iterator[Row]:
    """Whole models: compress() and decompress(), and the part of them that is entropy coding."""
    torch = importlib.import_module("torch")
    zoo = importlib.import_module("compressai.zoo")
    x = picture(torch)
    for name in ("bmshj2018_hyperprior", "mbt2018_mean", "cheng2020_attn"):
        torch.manual_seed(0)
        model = getattr(zoo, name)(quality=1, pretrained=False).eval()
        if name == "cheng2020_attn":
            some, turns = x[..., :64, :64], 1  # autoregressive: seconds a picture
        else:
            some, turns = x, rounds
        enliven(torch, model, some)
        # Timers sit outside the door in both cases, on each entropy model by itself.
        clocks: dict[str, float] = {}
        parts = [part for part in model.modules() if hasattr(part, "entropy_coder")]
        found: dict[str, list[tuple[float, ...]]] = {}
        tensors = {}
        for _ in range(turns + 1):
            for format in (None, "compressai", "narrows"):
                used = compressai.use(model, format=format) if format else compressai.Use()
                with used, torch.no_grad():
                    for part in parts:
                        for method in ("compress", "decompress"):
                            part.__dict__[method] = timed(getattr(part, method), clocks, method)
                    clocks.update(compress=0.0, decompress=0.0)
                    began = time.thread_time()
                    out = model.compress(some)
                    between = time.thread_time()
                    tensors[format] = model.decompress(out["strings"], out["shape"])["x_hat"]
                    ended = time.thread_time()
                    for part in parts:
                        del part.__dict__["compress"], part.__dict__["decompress"]
                label = "CompressAI" if format is None else f"door, {format} format"
                times = (between - began, ended - between, clocks["compress"], clocks["decompress"])
                found.setdefault(label, []).append((*times, size_of(out["strings"])))
        if not all(torch.equal(tensors[None], other) for other in tensors.values()):
            raise SystemExit(f"{name}: tensors differ")
        medians = {
            label: [statistics.median(column) for column in zip(*times[1:], strict=True)]
            for label, times in found.items()
        }
        theirs = medians["CompressAI"]
        for label, ours in medians.items():
            yield {
                "case": name,
                "coder": label,
                "compress_ms": round(1000 * ours[0], 1),
                "decompress_ms": round(1000 * ours[1], 1),
                "bytes": int(ours[4]),
                "whole_times": [round(theirs[0] / ours[0], 2), round(theirs[1] / ours[1], 2)],
            } | (
                {}
                if name == "cheng2020_attn"  # codes between runs of its network, which no timer parts
                else {
                    "coding_ms": [round(1000 * ours[2], 2), round(1000 * ours[3], 2)],
                    "encode_times": round(theirs[2] / max(ours[2], 1e-9), 2),
                    "decode_times": round(theirs[3] / max(ours[3], 1e-9), 2),
                }
            )


def timed(call: Callable[..., Any], clocks: dict[str, float], name: str) -> Callable[..., Any]:
    def wrapped(*args: Any, **options: Any) -> Any:
        began = time.thread_time()
        try:
            return call(*args, **options)
        finally:
            clocks[name] += time.thread_time() - began

    return wrapped


def enliven(torch: Any, model: Any, x: Any) -> None:
    """Scale random weights until latents have a spread of some units, and scales that go with it."""
    with torch.no_grad():
        last = next(part for part in reversed(list(model.g_a)) if hasattr(part, "weight"))
        last.weight *= 4 / model.g_a(x).std()
        last = next(part for part in reversed(list(model.h_a)) if hasattr(part, "weight"))
        last.weight *= 4
        for name, parameter in model.named_parameters():
            if name.startswith(("h_s.4.bias", "entropy_parameters.4.bias")):
                half = len(parameter) // (1 if name.startswith("h_s") and len(parameter) == model.M else 2)
                parameter[:half] += 3 + 2 * torch.rand(half, generator=torch.Generator().manual_seed(1))
    model.update(force=True)


def constriction_calls(size: int, rounds: int) -> Iterator[Row]:
    """Families whose parameters come with each symbol, and one model for all."""
    theirs = importlib.import_module("constriction")
    rng = np.random.default_rng(0)
    means, stds = rng.normal(0, 10, size), np.exp(rng.uniform(-1, 3, size))
    wide = np.round(rng.normal(means, stds)).clip(-100, 100).astype(np.int32)
    rows = rng.dirichlet([0.7] * 8, size).astype(np.float32)
    few = (rng.random((size, 1)) > np.cumsum(rows, 1)).sum(1).clip(0, 7).astype(np.int32)
    weights = rng.dirichlet([0.7] * 256)
    many = rng.choice(256, size, p=weights).astype(np.int32)
    for case, symbols, make, parameters in (
        ("Gaussian a symbol", wide, lambda m: m.QuantizedGaussian(-100, 100), (means, stds)),
        ("8 probabilities a symbol", few, lambda m: m.Categorical(perfect=False), (rows,)),
        ("256 symbols, one model", many, lambda m: m.Categorical(weights, perfect=False), ()),
    ):
        calls: Calls = {}
        for label, library in (("constriction", theirs), ("door", constriction)):
            model, stack = make(library.stream.model), library.stream.stack.AnsCoder

            def encode(stack: Any = stack, model: Any = model, p: Any = parameters, s: Any = symbols) -> Any:
                coder = stack()
                coder.encode_reverse(s, model, *p)
                return coder.get_compressed()

            wanted = parameters or (size,)
            calls[label] = (encode, lambda words, s=stack, m=model, w=wanted: s(words).decode(m, *w))
        yield from rows_of(f"constriction, {case}", take_turns(calls, symbols, rounds), size)


def torchac_calls(size: int, rounds: int) -> Iterator[Row]:
    """A CDF row for each symbol."""
    theirs = importlib.import_module("torchac")
    torch = importlib.import_module("torch")
    rng = np.random.default_rng(0)
    for length, count in ((8, size), (256, size // 16)):
        pmf = rng.dirichlet([0.7] * length, count)
        cdf = torch.from_numpy(np.pad(np.cumsum(pmf, 1).clip(0, 1), ((0, 0), (1, 0))).astype(np.float32))
        drawn = (rng.random((count, 1)) > np.cumsum(pmf, 1)).sum(1).clip(0, length - 1)
        symbols = torch.from_numpy(drawn.astype(np.int16))
        calls: Calls = {
            label: (
                lambda library=library, c=cdf, s=symbols: library.encode_float_cdf(c, s),
                lambda payload, library=library, c=cdf: library.decode_float_cdf(c, payload),
            )
            for label, library in (("torchac", theirs), ("door", torchac))
        }
        yield from rows_of(f"torchac, {length + 1} columns", take_turns(calls, symbols, rounds), count)


def torch_ans_calls(size: int, rounds: int) -> Iterator[Row]:
    """16 tables of 8 symbols with an index a symbol, and bytes of one table."""
    theirs = importlib.import_module("torch_ans.utils")
    torch = importlib.import_module("torch")
    for name in ("w3", "w4"):
        work = workloads.make(name, size)
        width = max(map(len, work.pmfs))
        freqs = torch.from_numpy(np.array([np.pad(row, (0, width - len(row))) for row in work.pmfs])).float()
        sizes = torch.tensor([len(row) for row in work.pmfs], dtype=torch.int32)
        symbols, index = (torch.from_numpy(a.astype(np.int32))[None] for a in (work.symbols, work.index))
        calls: Calls = {}
        for label, kind in (("torch_ans", theirs.TorchANSInterface), ("door", torch_ans.TorchANSInterface)):
            coder = kind(impl="rans64", freq_precision=15, num_parallel_states=1)
            coder.init_params(freqs, sizes, torch.from_numpy(np.asarray(work.offsets, np.int32)))
            calls[label] = (
                lambda coder=coder, s=symbols, i=index: coder.encode_with_indexes(s, i),
                lambda payload, coder=coder, i=index: coder.decode_with_indexes(payload, i),
            )
        yield from rows_of(f"torch_ans, {name.upper()}", take_turns(calls, symbols, rounds), size)


def draw(rows: list[Row], path: Path) -> None:
    """Write a picture of how many times as fast each call becomes."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams.update({"svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10})
    mpl.rcParams.update({"svg.hashsalt": "narrows", **dict.fromkeys(("text.color", "axes.labelcolor"), INK)})
    from matplotlib import pyplot

    lines = []
    for row in rows:
        if "door" in row["coder"] and "encode_times" in row:
            exact = row["coder"].endswith("compressai format")
            lines.append((row["case"] + (", its own bytes" if exact else ""), row))
    figure, axis = pyplot.subplots(figsize=(8.6, 0.27 * len(lines) + 1.1))
    for height, (_, row) in enumerate(reversed(lines)):
        pair = (row["encode_times"], row["decode_times"])
        axis.plot(pair, [height, height], color=OURS[0], linewidth=1.2)
        axis.plot(pair[0], height, "o", color=OURS[0], fillstyle="none", markersize=7)
        axis.plot(pair[1], height, "D", color=OURS[0], markersize=6)
    axis.axvline(1, color=THEIRS, linewidth=1.2)
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}x")
    axis.set_yticks(range(len(lines)), [name for name, _ in reversed(lines)])
    axis.tick_params(colors=INK, which="both", left=False)
    axis.grid(color=INK, alpha=0.25, linewidth=0.6, axis="x", which="major")
    for side in ("top", "right", "left", "bottom"):
        axis.spines[side].set_visible(False)
    marks = [
        mpl.lines.Line2D([], [], color=OURS[0], marker="o", linestyle="", fillstyle="none", label="encode"),
        mpl.lines.Line2D([], [], color=OURS[0], marker="D", linestyle="", label="decode"),
        mpl.lines.Line2D([], [], color=THEIRS, label="the library itself"),
    ]
    figure.legend(handles=marks, loc="lower center", ncols=3, frameon=False, fontsize=9)
    axis.set_title("entropy coding, times as fast (CPU time)", color=INK, fontsize=10, loc="left")
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    metadata = {"Date": None} if path.suffix == ".svg" else None
    figure.savefig(path, transparent=True, dpi=110, metadata=metadata)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--symbols", type=int, default=1 << 19)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="one of the measures, into the rows of the last run")
    options = parser.parse_args()
    if options.figure:
        draw(json.loads(RUN.read_text()), options.figure)
        return
    warnings.simplefilter("ignore")
    rows: list[Row] = []
    measures = (entropy_models, models, constriction_calls, torch_ans_calls, torchac_calls)
    for measure in measures:
        if options.only not in (None, measure.__name__):
            continue
        try:
            importlib.import_module("torch").set_num_threads(1)
            for row in measure(options.symbols, options.rounds):
                print(json.dumps(row), flush=True)
                rows.append(row)
        except ImportError as error:
            print(f"left out: {error}")
    if options.only and RUN.exists():
        again = {row["case"] for row in rows}
        rows = [row for row in json.loads(RUN.read_text()) if row["case"] not in again] + rows
    RUN.parent.mkdir(exist_ok=True)
    RUN.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
