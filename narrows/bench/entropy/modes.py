"""The cases about other ways to the coder: CompressAI's own strings, context networks, a device."""

from __future__ import annotations

import importlib
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from narrows import entropy
from narrows.bench.entropy import peers, workloads
from narrows.bench.entropy.rows import Row, Settings, contender_row
from narrows.bench.entropy.timing import Contender, interleave, paired_ratio

_RANDOM_CASES = 1000
_SEED = 7
_DEVICE_SIZE = 1 << 22
_DEVICE_BATCH = 16
_DEVICE_CHUNK_BYTES = 1 << 14


def compressai_mode(case: str, settings: Settings) -> Iterator[Row]:
    """Yield rows of CompressAI's `EntropyModel` as it is and on this coder, then of random cases compared."""
    try:
        ans: Any = importlib.import_module("compressai.ans")
        compat: Any = importlib.import_module("narrows.entropy.compat.compressai")
        for name in ("w1", "w2"):
            yield from _swapped(case, workloads.make(name, settings.symbols), compat, settings)
    except ImportError as error:
        yield {"case": case, "coder": "compressai", "note": peers.hint("compressai", error)}
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        equal = sum(_equal(seed, ans, compat) for seed in range(_RANDOM_CASES))
    yield {
        "case": case,
        "coder": "narrows",
        "setting": "random cases, bytes equal both ways",
        "cases": _RANDOM_CASES,
        "equal": equal,
    }


def _swapped(case: str, work: workloads.Workload, compat: Any, settings: Settings) -> Iterator[Row]:
    prepared = peers.Prepared.of(work)
    theirs = next(peers.compressai_model(prepared))
    theirs.setting = f"{work.name} EntropyModel"
    running = [theirs]
    for format, setting in (("compressai", "byte-exact"), ("narrows", "our format")):
        model = peers.entropy_model(prepared)
        compat.use(model, format=format)
        ours = next(peers.compressai_model(prepared, model))
        ours.coder, ours.setting = "narrows", f"{work.name} {setting}, EntropyModel"
        running.append(ours)
    interleave(running, settings.rounds)
    for one in running:
        row = contender_row(case, one, running[1])
        if one is not theirs and not one.problem and not theirs.problem:
            row["encode_of_theirs"] = paired_ratio(theirs.encode_ns, one.encode_ns)
            row["decode_of_theirs"] = paired_ratio(theirs.decode_ns, one.decode_ns)
        yield row
    yield {
        "case": case,
        "coder": "narrows",
        "setting": f"{work.name} string equal to theirs",
        "equal": int(running[1].encode() == theirs.encode()),
        "cases": 1,
    }


def _equal(seed: int, ans: Any, compat: Any) -> bool:
    """Whether both write the same string for a random message, and each reads the other's."""
    rng = np.random.default_rng([_SEED, seed])
    rows, lengths, offsets = [], [], []
    for _ in range(rng.integers(1, 7)):
        pmf = rng.dirichlet(np.full(rng.integers(2, 61), 0.5)).astype(np.float32)
        rows.append(compat.pmf_to_quantized_cdf(pmf.tolist(), 16))
        lengths.append(len(rows[-1]))
        offsets.append(int(rng.integers(-40, 10)))
    longest = max(lengths)
    cdfs = [row + [0] * (longest - len(row)) for row in rows]
    size = int(rng.integers(4, 1001))
    index = rng.integers(0, len(rows), size)
    inside = rng.integers(0, np.array(lengths)[index] - 1) + np.array(offsets)[index]
    far = rng.integers(-(2**26) + 1, 2**26, size)
    symbols = np.where(rng.random(size) < 0.1, far, inside)
    message = (symbols.tolist(), index.tolist(), cdfs, lengths, offsets)
    string = ans.RansEncoder().encode_with_indexes(*message)
    return bool(
        string == compat.RansEncoder().encode_with_indexes(*message)
        and ans.RansDecoder().decode_with_indexes(string, *message[1:]) == message[0]
        and compat.RansDecoder().decode_with_indexes(string, *message[1:]) == message[0]
    )


def autoregressive(case: str, settings: Settings) -> Iterator[Row]:
    """Yield a row of a loop around a network of `wave`'s shape: 44 taps, 32 and 16 units, 64 tables."""
    try:
        loop: Any = importlib.import_module("narrows.entropy.autoregressive")
    except ImportError as error:
        yield {"case": case, "coder": "narrows", "note": f"did not start: {error}"[:160]}
        return
    rng = np.random.default_rng(_SEED)
    near = [(0, y, x) for y in range(-4, 1) for x in range(-5, 6) if y < 0 or x < 0]
    taps = sorted(near, key=lambda tap: tap[1] ** 2 + tap[2] ** 2)[:44]
    sizes = (len(taps), 32, 16, 2)
    layers = [
        loop.Layer(
            rng.integers(-7, 8, (outputs, inputs)).astype(np.int8),
            rng.integers(0, 1000, outputs).astype(np.int32),
            np.ones(outputs, np.int32),
            6,
        )
        for inputs, outputs in pairwise(sizes)
    ]
    tables = entropy.scale_family("laplace").tables
    model = loop.Autoregressive(tables, taps, loop.magnitude_map()[None], layers, grid=(16, 4))
    side = max(1, int(np.sqrt(min(settings.symbols, 1 << 20) / 4)))
    symbols = np.rint(rng.laplace(0, 2, (4, side, side))).astype(np.int32)
    running = [
        Contender(
            "narrows",
            f"{len(taps)}-32-16-2 network",
            partial(model.encode, symbols),
            lambda data: model.decode(data, symbols.shape),
            len,
            symbols,
            symbols=symbols.size,
        )
    ]
    interleave(running, settings.rounds)
    yield contender_row(case, running[0], running[0])


def cuda(case: str, settings: Settings) -> Iterator[Row]:
    """Yield rows of W1 on a device, in wall time: one tensor, and a batch of many in one launch."""
    try:
        torch: Any = importlib.import_module("torch")
        device: Any = importlib.import_module("narrows.entropy.cuda")
    except ImportError as error:
        yield {"case": case, "coder": "narrows", "note": f"did not start: {error}"[:160]}
        return
    if why := device.unavailable():
        yield {"case": case, "coder": "narrows", "note": why}
        return
    work = workloads.make("w1", min(settings.symbols, _DEVICE_SIZE))
    symbols = torch.from_numpy(work.symbols).cuda()
    index = torch.from_numpy(work.index).cuda()
    whole = entropy.encode(work.symbols, work.index, work.tables, chunk_bytes=_DEVICE_CHUNK_BYTES)
    for count in (1, _DEVICE_BATCH):
        many = [symbols.clone() for _ in range(count)]
        which = [index.clone() for _ in range(count)]
        encode = partial(device.encode, many, which, work.tables, chunk_bytes=_DEVICE_CHUNK_BYTES)
        encoded = encode()
        decode = partial(device.decode, encoded, which, work.tables, dtype=torch.int16)
        same = all(torch.equal(a, b) for a, b in zip(decode().check(), many, strict=True))
        payload = encoded.to_host()[0]
        total = count * len(work.symbols)
        yield {
            "case": case,
            "coder": "narrows",
            "setting": f"{torch.cuda.get_device_name()}, {count} x {len(work.symbols):,}, wall time",
            "isa": "cuda",
            "symbols": total,
            "encode_ns": _on_device_ns(encode, torch, settings) / total,
            "decode_ns": _on_device_ns(decode, torch, settings) / total,
            "bytes": count * len(payload),
            "equal": int(same and payload == whole),
        }


def _on_device_ns(call: Callable[[], Any], torch: Any, settings: Settings) -> float:
    """Median wall time of a call and all that it queued."""
    spent = []
    for _ in range(max(3, settings.rounds)):
        torch.cuda.synchronize()
        began = time.perf_counter_ns()
        kept = call()
        torch.cuda.synchronize()
        spent.append(time.perf_counter_ns() - began)
        del kept
    return float(np.median(spent))
