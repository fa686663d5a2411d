"""The cases in which peers take part: whole workloads, and calls of a few symbols."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from narrows import _core, entropy
from narrows.bench.entropy import peers, workloads
from narrows.bench.entropy.rows import Row, Settings, contender_row
from narrows.bench.entropy.timing import Contender, interleave
from narrows.bench.entropy.workloads import Workload

_SHORT_SIZES = (1, 16, 500)
_COMPRESSAI_LEAST = 4  # below, its encoder writes past a buffer


def workload(case: str, settings: Settings) -> Iterator[Row]:
    """Yield rows of one of W1 to W4: ours on every instruction set, then every peer."""
    work = workloads.make(case, settings.symbols)
    running = list(_ours(work))
    missing = []
    for one in peers.contenders(work):
        if isinstance(one, peers.Missing):
            missing.append(one)
        else:
            running.append(one)
    before = _core.isa()
    try:
        interleave(running, settings.rounds, select_isa=_core.set_isa)
    finally:
        _core.set_isa(before)
    ours = next(one for one in running if one.isa == before)
    for one in running:
        yield contender_row(case, one, ours)
    for absent in missing:
        yield {"case": case, "coder": absent.coder, "note": absent.hint}


def _ours(work: Workload) -> Iterator[Contender]:
    for isa in reversed(_core.available_isas()):
        yield _narrows(work, work.tables, work.tables_bits, isa)
    if work.short_tables:
        for isa in reversed(_core.available_isas()):
            yield _narrows(work, work.short_tables, work.short_tables_bits, isa)


def _narrows(work: Workload, tables: entropy.Tables, tables_bits: float, isa: str) -> Contender:
    return Contender(
        "narrows",
        f"{tables.bits} bit",
        lambda: entropy.encode(work.symbols, work.index, tables),
        lambda data: entropy.decode(data, work.index, tables, dtype=np.int16),
        len,
        work.symbols,
        isa=isa,
        symbols=len(work.symbols),
        exact_bits=work.exact_bits,
        tables_bits=tables_bits,
    )


def short_calls(case: str, settings: Settings) -> Iterator[Row]:
    """Yield rows of W5: microseconds of a call that codes 1, 16 or 500 symbols of W2, tables prepared."""
    drawn = workloads.make("w2", max(_SHORT_SIZES))
    for size in _SHORT_SIZES:
        # From the middle, where the symbols are as mixed as anywhere; the same for all.
        work = drawn.head(size)
        padded = drawn.head(max(size, _COMPRESSAI_LEAST))
        running = [_short(work, check) for check in (True, False)]
        missing = []
        makers: tuple[tuple[str, Workload, int, Callable[[peers.Prepared], Iterator[Contender]]], ...] = (
            ("compressai", padded, 1, peers.compressai_model),
            ("compressai", padded, 1, peers.compressai_lists),
            ("torch_ans", work, 20, peers.torch_ans),
            ("constriction", work, 20, peers.constriction),
            ("zstd", work, 50, peers.zstd),
        )
        for coder, given, repeats, make in makers:
            short = dataclasses.replace(given, name="w5")
            try:
                with peers.quiet():
                    made = list(make(peers.Prepared.of(short)))
            except (ImportError, OSError, RuntimeError) as error:
                missing.append({"case": f"{case}-{size}", "coder": coder, "note": peers.hint(coder, error)})
                continue
            for one in made:
                one.repeats = repeats
            running += made
        interleave(running, settings.rounds)
        for one in running:
            one.exact_bits = one.tables_bits = None  # a share of so few bytes says nothing
            yield contender_row(f"{case}-{size}", one, running[0], unit="us")
        yield from missing


def _short(work: Workload, check: bool) -> Contender:
    return Contender(
        "narrows",
        "default" if check else "check=False",
        lambda: entropy.encode(work.symbols, work.index, work.tables, check=check),
        lambda data: entropy.decode(data, work.index, work.tables, check=check, dtype=np.int16),
        len,
        work.symbols,
        isa=_core.isa(),
        repeats=500,
        symbols=len(work.symbols),
    )
