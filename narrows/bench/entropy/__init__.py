"""Speed and size of the entropy coder beside every installed peer, taking turns on one thread.

Cases: `w1 w2 w3 w4 w5` (see `workloads`), `threads`, `chunks`, `tables`, `range`, `compressai`,
`autoregressive`, `cuda`. Times are medians of CPU time; ratios are medians over rounds of what a peer took
over what we took in the same round, so they hold on a busy machine too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from narrows.bench.entropy import machine, modes, others, ours, workloads
from narrows.bench.entropy.rows import Row, Settings
from narrows.errors import OptionError

__all__ = ["CASES", "Row", "rows"]

CASES: dict[str, Callable[[str, Settings], Iterator[Row]]] = {
    **{name: others.workload for name in workloads.NAMES},
    "w5": others.short_calls,
    "threads": ours.threads,
    "chunks": ours.chunks,
    "tables": ours.tables,
    "range": ours.range_coder,
    "compressai": modes.compressai_mode,
    "autoregressive": modes.autoregressive,
    "cuda": modes.cuda,
}
DEFAULT_ROUNDS = 5


def rows(
    names: Sequence[str] = (), *, rounds: int = DEFAULT_ROUNDS, symbols: int = workloads.FULL_SIZE
) -> Iterator[Row]:
    """Yield a row about the machine, then one for each coder and setting of each case, by default of all.

    `symbols` is how many a workload has: fewer make it short and, below a million, less exact. OptionError
    for an unknown name, no rounds or no symbols.

    >>> from narrows.bench import entropy
    >>> [row["case"] for row in entropy.rows(["chunks"], rounds=1, symbols=20_000)][:2]
    ['machine', 'chunks']
    """
    for name in names:
        if name not in CASES:
            raise OptionError(f"no case {name!r}: there are {', '.join(CASES)}")
    if rounds < 1 or symbols < 1:
        raise OptionError("rounds and symbols are at least 1")
    settings = Settings(rounds, symbols)
    yield machine.row(settings)
    for name in dict.fromkeys(names or CASES):
        yield from CASES[name](name, settings)
