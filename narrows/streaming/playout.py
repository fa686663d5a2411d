"""From packets that arrive anyhow to samples at an even pace: jitter buffer, decoder, clock correction.

`read` is called at the pace of whatever plays, in blocks of a quarter packet or so; it never fails to
return samples. What it plays in place of nothing is the decoder's concealment, or for a wait the mirror
of what was last heard, fading out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from narrows.contracts import Decoder, Packet
from narrows.errors import PacketError
from narrows.streaming import wire
from narrows.streaming.clock import Drift, Stretcher
from narrows.streaming.jitter import Due, JitterBuffer, Step

Floats = npt.NDArray[np.float32]

_FADE_MS = 5
_QUIET = 0.3  # of the usual level: soft enough that a dropped packet is no lost syllable
_SILENT = 1e-3
_LEVEL_DECAY = 0.98  # per packet: the usual level is that of the last second


@dataclass(slots=True)
class Played:
    """What came out, in samples of the output, and what decoding took."""

    samples: int = 0
    concealed: int = 0
    held: int = 0
    refused_packets: int = 0
    decode_cpu_s: float = 0.0


class Playout:
    """One received stream. `put` packets as they come, `read` samples as they are needed.

    Samples are float32 [time, channels] at `sample_rate_hz`. `on_packet` gets each packet, in order, when it
    was decoded; copies, and what the decoder refused, are not shown to it.
    """

    def __init__(
        self,
        decoder: Decoder,
        sample_rate_hz: int,
        channels: int,
        *,
        min_delay_s: float = 0,
        max_delay_s: float = 1,
        correct_drift: bool = True,
        on_packet: Callable[[Packet], None] | None = None,
    ) -> None:
        self.buffer = JitterBuffer(
            decoder.latency.frame_ms / 1000,
            frames=decoder.packet_frames,
            lookahead_s=decoder.latency.lookahead_ms / 1000,
            min_delay_s=min_delay_s,
            max_delay_s=max_delay_s,
        )
        self.drift = Drift()
        self.played = Played()
        self.sample_rate_hz, self.channels = sample_rate_hz, channels
        self.level = 0.0
        self._decoder = decoder
        self._stretcher = Stretcher(channels)
        self._correct_drift = correct_drift
        self.on_packet = on_packet
        self._queue: list[Floats] = []
        self._queued = 0
        self._mirror = np.zeros((0, channels), np.float32)
        self._fade_from: Floats | None = None
        self._ended = False
        self._resyncs = 0
        self._jumped = False

    @property
    def started(self) -> bool:
        """Whether the stream has begun to play; before that `read` gives silence."""
        return self.buffer.started

    @property
    def finished(self) -> bool:
        """Whether the stream has ended and all of it was read."""
        return self._ended and self._queued == 0

    @property
    def quiet(self) -> bool:
        """Whether the last packet was soft beside the last second."""
        loudness = float(np.sqrt(np.mean(self._mirror**2))) if self._mirror.size else 0.0
        return loudness < max(_QUIET * self.level, _SILENT)

    def put(self, packet: Packet, now_s: float) -> None:
        """A packet that arrived at `now_s`, and the copies in it."""
        self._jumped |= not self.buffer.started and packet.seq > 0
        self.buffer.put(packet, now_s)
        if self.buffer.counts.resyncs != self._resyncs:
            self._resyncs = self.buffer.counts.resyncs
            self._jumped = True
            self.drift.reset()
        self.drift.add(self.buffer.media_s(packet.seq), now_s)
        for copy in wire.copy_packets(packet):
            self.buffer.put_copy(copy, packet.seq - copy.seq)

    def read(self, num_samples: int, now_s: float) -> Floats:
        """The next samples; silence before the stream begins, fewer than asked for only at its end."""
        while self._queued < num_samples and not self._ended:
            if not self._advance(now_s + self._queued / self.sample_rate_hz):
                break
        missing = num_samples - self._queued
        if missing > 0 and not self._ended:
            self._enqueue(np.zeros((missing, self.channels), np.float32))
        joined = np.concatenate(self._queue) if self._queue else self._mirror[:0]
        output, rest = joined[:num_samples], joined[num_samples:]
        self._queue = [rest] if len(rest) else []
        self._queued = len(rest)
        self.played.samples += len(output)
        return output

    def _advance(self, play_s: float) -> bool:
        """Queue what the next step gives; False if nothing is to come yet."""
        due = self.buffer.pull(play_s, quiet=self.quiet)
        match due.step:
            case Step.WAIT:
                if self.buffer.finished:
                    self._emit(self._decoder.finish())
                    self._enqueue(self._stretcher.flush())
                    self._ended = True
                return self._ended
            case Step.HOLD:
                self._hold()
            case Step.SKIP:
                self._fade_from = self._decode(due)
            case Step.PLAY | Step.LOSE:
                self._emit(self._decode(due))
        return True

    def _decode(self, due: Due) -> Floats:
        packet = due.packet
        begin_s = time.thread_time()
        refused = False
        if self._jumped:
            # Nothing was heard before the first packet, or in what a sender jumped over: nothing to conceal.
            self._jumped = False
            self._decoder.seek(due.seq)
        try:
            block = self._decoder.push(packet)
        except PacketError:
            refused = True
            self.buffer.go_on()
            block = self._decoder.push(None)
        self.played.decode_cpu_s += time.thread_time() - begin_s
        self.played.refused_packets += refused
        samples = np.asarray(block, dtype=np.float32).reshape(-1, self.channels)
        if packet is None or refused:
            self.played.concealed += len(samples)
        elif not due.copied and self.on_packet is not None:
            self.on_packet(packet)
        return samples

    def _emit(self, block: Floats) -> None:
        if len(block) == 0:
            return
        if self._fade_from is not None:
            block = self._joined(self._fade_from, block)
            self._fade_from = None
        self._mirror = block
        loudness = float(np.sqrt(np.mean(block**2)))
        self.level = max(loudness, _LEVEL_DECAY * self.level)
        ppm = self.drift.ppm if self._correct_drift else 0.0
        self._enqueue(self._stretcher.process(block, 1 - ppm * 1e-6))

    def _hold(self) -> None:
        """A packet's length of what was last heard, backwards and fading, so that nothing jumps."""
        size = round(self.buffer.packet_s * self.sample_rate_hz)
        filler = np.zeros((size, self.channels), np.float32)
        mirror = self._mirror[::-1][:size]
        if len(mirror):
            filler[: len(mirror)] = mirror * np.linspace(1, 0, len(mirror), dtype=np.float32)[:, np.newaxis]
        self._mirror = self._mirror[:0]  # once: a longer wait is silence
        self._fade_from = np.zeros((size, self.channels), np.float32)
        self.played.held += size
        self._enqueue(self._stretcher.process(filler, 1))

    def _joined(self, before: Floats, block: Floats) -> Floats:
        """`block` faded in over what would have come in its place, which goes on from what was heard."""
        size = min(_FADE_MS * self.sample_rate_hz // 1000, len(before), len(block))
        ramp = np.linspace(0, 1, size, endpoint=False, dtype=np.float32)[:, np.newaxis]
        head = block[:size] * ramp + before[:size] * (1 - ramp)
        return np.concatenate([head, block[size:]])

    def _enqueue(self, block: Floats) -> None:
        if len(block):
            self._queue.append(block)
            self._queued += len(block)
