"""A network that loses, delays, reorders and doubles datagrams, from a seed; it keeps a log of what it did.

    channel = Channel(loss=0.05, burst=2, jitter_ms=40, seed=1)
    for arrival_s, datagram in channel.send(datagram, now_s=0.02): ...

Loss has two states (Gilbert 1960, Elliott 1963): everything passes in the good one, nothing in the bad.
With p = P(good -> bad) and r = P(bad -> good) the loss rate is p / (p + r) and bursts last 1 / r packets.
Loss, delay and doubling draw from generators of their own: the same packets are lost whatever the jitter.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from narrows.contracts import check_range
from narrows.errors import OptionError

_HEAD_BYTES = 8


class GilbertElliott:
    """Which packets are lost: `lost()` once a packet. Without `burst` each is lost independently.

    Raises OptionError for a loss rate that bursts so short cannot reach.

    >>> from narrows.streaming.channel import GilbertElliott
    >>> pattern = GilbertElliott(0.1, 3, seed=1).pattern(10_000)
    >>> round(sum(pattern) / 10_000, 2)
    0.1
    """

    def __init__(self, loss: float, burst: float | None = None, *, seed: int = 0) -> None:
        check_range("loss", loss, 0, 1)
        if burst is not None:
            check_range("burst", burst, 1, 1e6)
            if loss < 1 and loss > burst / (burst + 1):
                raise OptionError(
                    f"bursts of {burst:g} packets lose at most {burst / (burst + 1):.2f} of them"
                )
        self._recover = 1 - loss if burst is None else 1 / burst
        self._fail = loss if burst is None else loss * self._recover / (1 - loss) if loss < 1 else 1.0
        if loss == 1:
            self._recover = 0.0
        self._random = random.Random(f"loss {seed}")
        self._bad = self._random.random() < loss  # from the stationary distribution, not always good

    def lost(self) -> bool:
        """Whether the next packet is lost."""
        lost = self._bad
        change = self._recover if self._bad else self._fail
        if self._random.random() < change:
            self._bad = not self._bad
        return lost

    def pattern(self, num_packets: int) -> list[bool]:
        """The fate of the next packets."""
        return [self.lost() for _ in range(num_packets)]


@dataclass(frozen=True, slots=True)
class Passage:
    """What became of one datagram: no arrivals if it was lost, two if doubled. `head`: how it begins."""

    sent_s: float
    num_bytes: int
    arrivals_s: tuple[float, ...]
    head: bytes = b""

    @property
    def lost(self) -> bool:
        """Whether it never arrived."""
        return not self.arrivals_s


class Channel:
    """A one-way network. Delay is `delay_ms` and a part of `jitter_ms`, evenly drawn for each datagram.

    Datagrams overtake each other where jitter is longer than the time between them. `log` has a Passage
    for each datagram sent.
    """

    def __init__(
        self,
        *,
        loss: float = 0,
        burst: float | None = None,
        delay_ms: float = 0,
        jitter_ms: float = 0,
        duplicate: float = 0,
        seed: int = 0,
    ) -> None:
        check_range("delay_ms", delay_ms, 0, 60_000)
        check_range("jitter_ms", jitter_ms, 0, 60_000)
        check_range("duplicate", duplicate, 0, 1)
        self._loss = GilbertElliott(loss, burst, seed=seed)
        self._delay_s, self._jitter_s, self._duplicate = delay_ms / 1000, jitter_ms / 1000, duplicate
        self._delays = random.Random(f"delay {seed}")
        self._doubles = random.Random(f"double {seed}")
        self.log: list[Passage] = []

    def send(self, datagram: bytes, now_s: float) -> list[tuple[float, bytes]]:
        """When, and how often, a datagram sent at `now_s` arrives."""
        lost = self._loss.lost()
        doubled = self._doubles.random() < self._duplicate
        delays = [self._delay_s + self._jitter_s * self._delays.random() for _ in range(2)]
        arrivals = () if lost else tuple(now_s + delay for delay in delays[: 1 + doubled])
        self.log.append(Passage(now_s, len(datagram), arrivals, datagram[:_HEAD_BYTES]))
        return [(arrival, datagram) for arrival in arrivals]

    @property
    def num_lost(self) -> int:
        """Datagrams that never arrived."""
        return sum(passage.lost for passage in self.log)
