"""The cases about the coder alone: threads, chunks, many tables, the range coder, other modes."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from narrows import _core, entropy
from narrows.bench.entropy import peers, workloads
from narrows.bench.entropy.rows import Row, Settings, contender_row
from narrows.bench.entropy.timing import Clock, Contender, interleave
from narrows.bench.entropy.workloads import Workload

_CHUNKS = (1024, 8192, 65_536)
_TABLES = (64, 128, 256)
_PACKET_BITS = (1, 8, 64, 512)
_PACKETS = 2000
_REFERENCE_SIZE = 1 << 20
_NUM_CONTEXTS = 64


def _coder(work: Workload, setting: str, **options: Any) -> Contender:
    threads = {name: value for name, value in options.items() if name == "threads"}
    return Contender(
        "narrows",
        setting,
        lambda: entropy.encode(work.symbols, work.index, work.tables, **options),
        lambda data: entropy.decode(data, work.index, work.tables, dtype=np.int16, **threads),
        len,
        work.symbols,
        isa=_core.isa(),
        symbols=len(work.symbols),
        exact_bits=work.exact_bits,
        tables_bits=work.tables_bits,
    )


def threads(case: str, settings: Settings) -> Iterator[Row]:
    """Yield rows of W1 on one and two threads, in wall time; speed-ups are of the least of the rounds.

    `cpu_percent` is the CPU time of all threads over that of one: what sharing costs, on a busy machine too.
    A call has four times the symbols of other cases: a new thread may wait milliseconds for its core.
    """
    work = workloads.make("w1", 4 * settings.symbols)

    def measured(clock: Clock) -> list[Contender]:
        running = [_coder(work, f"{count} threads, wall time", threads=count) for count in (1, 2)]
        interleave(running, 6 * settings.rounds, clock=clock)  # the second core is often away
        return running

    walls, spent = measured(time.perf_counter_ns), measured(time.process_time_ns)
    for one, cpu in zip(walls, spent, strict=True):
        row = contender_row(case, one, walls[0])
        if not one.problem:
            for direction in ("encode", "decode"):
                first, this = (min(getattr(w, f"{direction}_ns")) for w in (walls[0], one))
                row[f"{direction}_speedup"] = first / this
                alone, together = (min(getattr(c, f"{direction}_ns")) for c in (spent[0], cpu))
                row[f"{direction}_cpu_percent"] = 100 * together / alone
        yield row


def chunks(case: str, settings: Settings) -> Iterator[Row]:
    """Yield rows of W1 in one chunk, in chunks of the default size, and in small ones."""
    work = workloads.make("w1", settings.symbols)
    bytes_per_symbol = work.exact_bits / 8 / len(work.symbols)
    running = [_coder(work, "one chunk", chunk_bytes=2**31 - 1), _coder(work, "default")]
    running += [
        _coder(work, f"{size:,} symbols a chunk", chunk_bytes=max(1, round(size * bytes_per_symbol)))
        for size in _CHUNKS
    ]
    interleave(running, settings.rounds)
    yield from (contender_row(case, one, running[0]) for one in running)


def tables(case: str, settings: Settings) -> Iterator[Row]:
    """Yield rows of 64, 128 and 256 Gaussian tables over the same range of scales, used alike."""
    running = []
    for count in _TABLES:
        rng = np.random.default_rng(count)
        scales = workloads.scale_table(count)
        work = workloads.gaussians(f"{count}", settings.symbols, scales, np.ones(count), rng)
        running.append(_coder(work, f"{count} tables"))
    interleave(running, settings.rounds)
    yield from (contender_row(case, one, running[0]) for one in running)


def range_coder(case: str, settings: Settings) -> Iterator[Row]:
    """Yield rows of the range coder: adaptive bits, adaptive and fixed tables, then a packet's overhead."""
    rng = np.random.default_rng(5)
    size = min(settings.symbols, 1 << 21)
    chances = rng.beta(0.7, 0.7, _NUM_CONTEXTS)
    contexts = rng.integers(0, _NUM_CONTEXTS, size).astype(np.uint8)
    bits = (rng.random(size) < chances[contexts]).astype(np.int32)
    own = np.where(bits == 1, chances[contexts], 1 - chances[contexts])
    sixteen = [rng.dirichlet(np.full(16, 0.7)) for _ in range(_NUM_CONTEXTS)]
    tokens = np.empty(size, np.int32)
    for t, pmf in enumerate(sixteen):
        where = np.flatnonzero(contexts == t)
        tokens[where] = rng.choice(16, len(where), p=pmf)
    exact = -float(np.log2(np.array(sixteen)[contexts, tokens]).sum())
    flat = entropy.Tables.from_pmf(
        [np.ones(16, np.uint64)] * _NUM_CONTEXTS, [0] * _NUM_CONTEXTS, escape=False
    )
    fixed = entropy.Tables.from_pmf(sixteen, [0] * _NUM_CONTEXTS, escape=False)
    running = [
        _ranged("two-rate bits", bits, contexts, lambda: entropy.AdaptiveBits(_NUM_CONTEXTS), own=own),
        _ranged(
            "adaptive, 16 symbols", tokens, contexts, lambda: entropy.Adaptive(flat, weight=16), exact=exact
        ),
        _ranged("fixed, 16 symbols", tokens, contexts, lambda: fixed, exact=exact),
    ]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):  # a pace to compare with, if it builds
        running += peers.compressai_core(peers.Prepared.of(workloads.make("w1", min(size, _REFERENCE_SIZE))))
    interleave(running, settings.rounds)
    yield from (contender_row(case, one, running[0]) for one in running)
    for length in _PACKET_BITS:
        yield _packets(f"{case}-packets", length, rng)
    yield _calls(f"{case}-calls", settings)


def _ranged(
    setting: str, symbols: Any, contexts: Any, model: Any, *, exact: float = 0.0, own: Any = None
) -> Contender:
    def encode() -> bytes:
        encoder = entropy.RangeEncoder()
        encoder.put(symbols, contexts, model())
        return encoder.finish()

    return Contender(
        "narrows range",
        setting,
        encode,
        lambda data: entropy.RangeDecoder(data).get(contexts, model()),
        len,
        symbols,
        symbols=len(symbols),
        exact_bits=exact or float(-np.log2(own).sum()),
    )


def _packets(case: str, length: int, rng: np.random.Generator) -> Row:
    """Mean and largest bytes above the ideal code length of packets of `length` skewed bits."""
    tables = entropy.Tables.from_pmf([[p, 1 - p] for p in (0.5, 0.2, 0.05, 0.01)], [0] * 4, escape=False)
    over = []
    for _ in range(_PACKETS):
        index = rng.integers(0, 4, length).astype(np.uint8)
        bits = (rng.random(length) > np.array([0.5, 0.2, 0.05, 0.01])[index]).astype(np.int32)
        encoder = entropy.RangeEncoder()
        encoder.put(bits, index, tables)
        over.append(len(encoder.finish()) - tables.cost_bits(bits, index) / 8)
    return {
        "case": case,
        "coder": "narrows range",
        "setting": f"{length} bits a packet",
        "symbols": length,
        "over_mean_bytes": float(np.mean(over)),
        "over_most_bytes": float(np.max(over)),
    }


def _calls(case: str, settings: Settings) -> Row:
    """Fixed cost of a NumPy call of the range coder."""
    tables = entropy.Tables.from_pmf([[0.5, 0.5]], [0], escape=False)
    symbol, index = np.zeros(1, np.int32), np.zeros(1, np.uint8)
    encoder, spent = entropy.RangeEncoder(), []
    for _ in range(max(3, settings.rounds)):
        began = time.thread_time_ns()
        for _ in range(2000):
            encoder.put(symbol, index, tables)
        put = (time.thread_time_ns() - began) / 2000
        decoder = entropy.RangeDecoder(encoder.finish())
        encoder = entropy.RangeEncoder()
        began = time.thread_time_ns()
        for _ in range(2000):
            decoder.get(index, tables)
        spent.append((put, (time.thread_time_ns() - began) / 2000))
    put, get = np.median(spent, axis=0)
    return {
        "case": case,
        "coder": "narrows range",
        "setting": "1 symbol a call",
        "symbols": 1,
        "encode_us": float(put) / 1e3,
        "decode_us": float(get) / 1e3,
    }
