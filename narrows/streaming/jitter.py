"""The jitter buffer: packets in as they arrive, out in order, each at its time or as lost.

A packet's transit is its arrival minus its place in the stream, seq times the packet's length. Play-out is
late by the 95th percentile of the transits of the last two seconds and a quarter of a packet, and by as far
as copies come behind what they stand for. It waits at once when that grows, and drops a packet when it has
shrunk, one a second and only where the sound is quiet.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass
from enum import Enum

from narrows.contracts import Packet, check_range

PERCENTILE = 0.95
WINDOW_S = 2.0
SHRINK_EVERY_S = 1.0
_START_PACKETS = 1  # to begin with, before transits are known
_MARGIN = 0.25  # packets: a caller may decide that much before it plays
_SHORT, _LONG = 0.125, 1.25  # packets off the target before anything is done: one drop stays inside
_STARVED_PACKETS = 10  # concealed with nothing in sight; then it may be a pause, and nothing is given up
_MEMORY_PACKETS = 1024  # how far back a duplicate is told from a late packet


class Step(Enum):
    """What play-out does next: for the length of one packet, but SKIP, which takes no time."""

    WAIT = "nothing has begun, or all is over"
    HOLD = "play something in between: the next packet is to be later"
    PLAY = "decode the packet and play it"
    LOSE = "conceal: the packet is not there in time"
    SKIP = "decode the packet, play nothing of it and ask again"


@dataclass(frozen=True, slots=True)
class Due:
    """A step and its packet: None unless PLAY, or SKIP of one that is there. `copied`: a coarse copy."""

    step: Step
    seq: int = -1
    packet: Packet | None = None
    copied: bool = False


@dataclass(slots=True)
class Counts:
    """What a buffer has seen and done, in packets."""

    received: int = 0
    refused: int = 0
    duplicate: int = 0
    late: int = 0
    played: int = 0
    lost: int = 0
    copied: int = 0
    held: int = 0
    skipped: int = 0
    resyncs: int = 0


class JitterBuffer:
    """Buffers packets of `packet_s` seconds each; the caller brings the time, of any steady clock.

    `min_delay_s` and `max_delay_s` bound how far play-out is behind the fastest packet of the window.
    `lookahead_s` is how much of the second packet a decoder needs before it gives all of the first, by which
    a stream begins later; `frames` how much seq grows from packet to packet.

    >>> from narrows.contracts import Packet
    >>> from narrows.streaming.jitter import JitterBuffer
    >>> buffer = JitterBuffer(0.02)
    >>> for seq in (1, 0): buffer.put(Packet(seq, 320 * seq, 0, b"x", key=True), 0.5)
    >>> [buffer.pull(0.54 + 0.02 * i).step.name for i in range(3)]
    ['PLAY', 'PLAY', 'LOSE']
    """

    def __init__(
        self,
        packet_s: float,
        *,
        frames: int = 1,
        lookahead_s: float = 0,
        min_delay_s: float = 0,
        max_delay_s: float = 1,
    ) -> None:
        check_range("min_delay_s", min_delay_s, 0, max_delay_s)
        check_range("max_delay_s", max_delay_s, packet_s, 60)
        self.packet_s, self.frames = packet_s, frames
        self.counts = Counts()
        self._lookahead_s, self._min_s, self._max_s = lookahead_s, min_delay_s, max_delay_s
        self._capacity = frames * (int(max_delay_s / packet_s) + 128)
        self._packets: dict[int, Packet] = {}
        self._copies: dict[int, Packet] = {}
        self._received: set[int] = set()
        self._next: int | None = None
        self._last: int | None = None
        self._begin_s = 0.0
        self._copies_s = 0.0
        self._transits: deque[tuple[float, float]] = deque()
        self._sorted: list[float] = []
        self._shrunk_s = float("-inf")
        self._delay_s = 0.0
        self._streak = 0

    @property
    def level(self) -> int:
        """Packets waiting."""
        return len(self._packets)

    @property
    def next_seq(self) -> int:
        """The next to be played; 0 before anything has come."""
        return self._next or 0

    @property
    def started(self) -> bool:
        """Whether anything has been played."""
        return self.counts.played + self.counts.lost > 0

    @property
    def finished(self) -> bool:
        """Whether the packet marked as last was taken, or came when it had been given up."""
        return self._last is not None and self._next is not None and self._next > self._last

    @property
    def delay_s(self) -> float:
        """How long the fastest packet of the window waited before it was played, at the last pull."""
        return max(self._delay_s - self._sorted[0], 0) if self._sorted else 0.0

    @property
    def target_s(self) -> float:
        """How late play-out is to be, as a transit: the percentile and the margin, within the bounds."""
        if not self._sorted:
            return 0.0
        fastest = self._sorted[0]
        rank = min(int(PERCENTILE * len(self._sorted)), len(self._sorted) - 1)
        wanted = self._sorted[rank] + self._copies_s + _MARGIN * self.packet_s
        return min(max(wanted, fastest + self._min_s), fastest + self._max_s)

    def media_s(self, seq: int) -> float:
        """Where in the stream a packet begins."""
        return seq / self.frames * self.packet_s

    def put(self, packet: Packet, now_s: float) -> None:
        """A packet that arrived. What cannot be used is counted and dropped."""
        seq = packet.seq
        if seq % self.frames:
            self.counts.refused += 1
            return
        if seq in self._received:
            self.counts.duplicate += 1
            return
        if self._next is None:
            self._begin(seq, now_s)
        if self._far_off(seq):
            self._resync(seq, now_s)
        self.counts.received += 1
        self._received.add(seq)
        if self.next_seq - seq <= self._capacity:
            self._note(now_s, now_s - self.media_s(seq))
        if self._next is not None and seq < self._next:
            if self.started:
                self.counts.late += 1
                if packet.last and seq + self._streak * self.frames >= self._next:
                    self._last = seq  # nothing was played since: the end was only late
                return
            self._next = seq  # the first to arrive was not the first to be sent
        self._packets[seq] = packet
        self._copies.pop(seq, None)

    def put_copy(self, packet: Packet, distance: int = 0) -> None:
        """A coarse copy of a packet, played if the packet itself does not come. Transits ignore it.

        It came with the packet `distance` later: play-out is as much later from now on, lest it be in vain.
        """
        seq = packet.seq
        if self._next is None or seq % self.frames:
            return
        later_s = min(self.media_s(distance), self._max_s) - self._copies_s
        if later_s > 0:
            self._copies_s += later_s
            if not self.started:
                self._begin_s += later_s
        if seq >= self._next and seq not in self._packets and not self._far_off(seq):
            self._copies[seq] = packet

    def go_on(self) -> None:
        """What was taken as the last packet was none: a decoder has refused it."""
        self._last = None

    def pull(self, now_s: float, *, quiet: bool = True) -> Due:
        """What to play from `now_s` on. `quiet` says that nobody would miss the next packet."""
        if self._next is None or self.finished:
            return Due(Step.WAIT)
        self._forget(now_s)
        if now_s < self._begin_s:
            return self._hold() if self.started else Due(Step.WAIT)
        self._delay_s = now_s - self.media_s(self._next)
        if not self.started:
            return self._take(self._next, Step.PLAY)
        excess = (self._delay_s - self.target_s) / self.packet_s
        there = self._next in self._packets or self._next in self._copies
        if self._streak >= _STARVED_PACKETS and not there:
            # Time has been played already for what is missing here, so that leaving it out costs none.
            return self._take(self._next, Step.SKIP) if self._packets and excess > _LONG else self._hold()
        if excess < -_SHORT:
            return self._hold()
        rested = now_s - self._shrunk_s >= SHRINK_EVERY_S
        if excess > _LONG and quiet and rested and not self._ends(self._next):
            self._shrunk_s = now_s
            self.counts.skipped += 1
            return self._take(self._next, Step.SKIP)
        return self._take(self._next, Step.PLAY)

    def _ends(self, seq: int) -> bool:
        return seq in self._packets and self._packets[seq].last

    def _hold(self) -> Due:
        self.counts.held += 1
        return Due(Step.HOLD)

    def _take(self, seq: int, step: Step) -> Due:
        self._next = seq + self.frames
        packet, copy = self._packets.pop(seq, None), self._copies.pop(seq, None)
        self._received.discard(seq - _MEMORY_PACKETS * self.frames)
        if packet is not None or copy is not None:
            self._streak = 0
            self._last = seq if packet is not None and packet.last else None
            self.counts.played += 1
            self.counts.copied += packet is None
            return Due(step, seq, packet or copy, copied=packet is None)
        self._streak += 1
        self.counts.lost += 1
        return Due(Step.SKIP if step == Step.SKIP else Step.LOSE, seq)

    def _begin(self, seq: int, now_s: float) -> None:
        self._next = seq
        self._begin_s = now_s + max(_START_PACKETS * self.packet_s, self._min_s)
        if seq == 0:
            self._begin_s += self._lookahead_s

    def _far_off(self, seq: int) -> bool:
        """Whether `seq` is so far ahead that the sender must have jumped, or was away for long."""
        return self._next is not None and seq - self._next > self._capacity

    def _resync(self, seq: int, now_s: float) -> None:
        self.counts.resyncs += 1
        self._packets.clear()
        self._copies.clear()
        self._received.clear()
        self._transits.clear()
        self._sorted.clear()
        self._last = None
        self._begin(seq, now_s)

    def _note(self, now_s: float, transit_s: float) -> None:
        self._forget(now_s)
        self._transits.append((now_s, transit_s))
        insort(self._sorted, transit_s)

    def _forget(self, now_s: float) -> None:
        """Drop transits older than the window, but not the last one."""
        while len(self._transits) > 1 and self._transits[0][0] < now_s - WINDOW_S:
            _, transit_s = self._transits.popleft()
            del self._sorted[bisect_left(self._sorted, transit_s)]
