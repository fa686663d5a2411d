"""Coders taking turns, so that whatever else the machine does meets them all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Clock = Callable[[], int]


@dataclass
class Contender:
    """One way of coding a workload: `decode` takes what `encode` returned and gives the symbols back.

    `repeats` calls are timed as one, for calls too short for the clock. `wanted` is what decoding must give;
    the times are of the calls alone, inputs in the form that the coder takes.
    """

    coder: str
    setting: str
    encode: Callable[[], Any]
    decode: Callable[[Any], Any]
    size_bytes: Callable[[Any], int]
    wanted: Any
    isa: str = ""
    repeats: int = 1
    tables_bits: float | None = None
    exact_bits: float | None = None
    symbols: int = 0
    coded_bytes: int = 0
    encode_ns: list[float] = field(default_factory=list)
    decode_ns: list[float] = field(default_factory=list)
    problem: str = ""

    def encode_median_ns(self) -> float:
        """Return the median nanoseconds of an encoding call."""
        return statistics.median(self.encode_ns)

    def decode_median_ns(self) -> float:
        """Return the median nanoseconds of a decoding call."""
        return statistics.median(self.decode_ns)


def interleave(
    contenders: Sequence[Contender],
    rounds: int,
    *,
    clock: Clock = time.thread_time_ns,
    select_isa: Callable[[str], Any] | None = None,
) -> None:
    """Let each contender code once unmeasured and be checked, then all in turn, `rounds` times.

    A contender that fails or gives other symbols back has its `problem` set and takes no further part.
    """
    payloads: dict[int, Any] = {}
    for number, one in enumerate(contenders):
        if select_isa and one.isa:
            select_isa(one.isa)
        try:
            payloads[number] = one.encode()
            decoded = one.decode(payloads[number])
        except Exception as error:  # a peer may fail in ways of its own; its row says how
            one.problem = f"{type(error).__name__}: {error}"[:200]
            continue
        one.coded_bytes = one.size_bytes(payloads[number])
        if not np.array_equal(np.asarray(decoded).ravel(), np.asarray(one.wanted).ravel()):
            one.problem = "gives other symbols back"
    for _ in range(rounds):
        for number, one in enumerate(contenders):
            if one.problem:
                continue
            if select_isa and one.isa:
                select_isa(one.isa)
            one.encode_ns.append(_spent(one.encode, (), one.repeats, clock))
            one.decode_ns.append(_spent(one.decode, (payloads[number],), one.repeats, clock))


def paired_ratio(theirs: Sequence[float], ours: Sequence[float]) -> float:
    """Return the median over rounds of what they took over what we took in the same round."""
    return statistics.median(a / max(b, 1e-9) for a, b in zip(theirs, ours, strict=True))


def _spent(call: Callable[..., Any], arguments: tuple[Any, ...], repeats: int, clock: Clock) -> float:
    began = clock()
    for _ in range(repeats):
        call(*arguments)
    return (clock() - began) / repeats
