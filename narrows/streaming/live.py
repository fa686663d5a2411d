"""The two ends of live streams, without sockets or clocks: datagrams and times in, datagrams out.

`Sender` turns blocks into datagrams and repeats its header; `Receiver` sorts datagrams into streams, any
number on one port, and plays each out. udp.py runs them over sockets, tests over a simulated network.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from narrows import container
from narrows.contracts import Decoder, Encoder, Header, Media, Packet
from narrows.errors import NarrowsError, OptionError, PacketError
from narrows.limits import Limits
from narrows.streaming import wire
from narrows.streaming.channel import Passage
from narrows.streaming.playout import Playout

HEADER_EVERY_S = 1.0
REPORT_EVERY_S = 1.0
REQUEST_EVERY_S = 0.2
MAX_STREAMS = 64
LAST_TIMES = 3  # the last packet is sent so often: a receiver that misses it waits for a timeout
_PENDING_DATAGRAMS = 64
_HELD_PACKETS = 8  # samples of so many packets at most are in memory for a stream
_RATE_WINDOW_S = 2.0

Address = Hashable


class Rate:
    """Bits per second over the last two seconds."""

    def __init__(self) -> None:
        self._sizes: deque[tuple[float, int]] = deque()
        self._total = 0
        self._begin_s: float | None = None

    def add(self, now_s: float, num_bytes: int) -> None:
        """Count `num_bytes`."""
        self._begin_s = now_s if self._begin_s is None else self._begin_s
        self._sizes.append((now_s, num_bytes))
        self._total += num_bytes
        self._forget(now_s)

    def kbps(self, now_s: float) -> float:
        """Kilobits per second up to `now_s`."""
        self._forget(now_s)
        if self._begin_s is None:
            return 0.0
        span_s = min(max(now_s - self._begin_s, 0.1), _RATE_WINDOW_S)
        return 8e-3 * self._total / span_s

    def _forget(self, now_s: float) -> None:
        while self._sizes and self._sizes[0][0] <= now_s - _RATE_WINDOW_S:
            self._total -= self._sizes.popleft()[1]


class Sender:
    """One outgoing stream: blocks in, datagrams out.

    `session_id` is drawn at random; tests give one. Raises OptionError for a header or packet that does not
    fit a datagram.
    """

    def __init__(self, encoder: Encoder, *, session_id: int | None = None) -> None:
        drawn = secrets.randbits(32) if session_id is None else session_id
        self.stream = wire.Stream(encoder.header, drawn)
        self.latency = encoder.latency
        self.report: wire.Report | None = None
        self.num_packets = 0
        self.num_payload_bytes = 0
        self.num_copy_bytes = 0
        self.num_wire_bytes = 0
        self.encode_cpu_s = 0.0
        self._encoder = encoder
        self._header_s = float("-inf")
        self._rate = Rate()

    def push(self, block: Any, now_s: float) -> list[bytes]:
        """Datagrams of what `block` completes, the header before them if it is due."""
        return self._pack(lambda: self._encoder.push(block), now_s)

    def finish(self, now_s: float) -> list[bytes]:
        """The remaining datagrams, the last several times."""
        datagrams = self._pack(self._encoder.finish, now_s)
        return datagrams + datagrams[-1:] * (LAST_TIMES - 1)

    def handle(self, datagram: bytes, now_s: float) -> list[bytes]:
        """Answers to a datagram from the other side. PacketError for what is no request or report of ours."""
        kind, byte = wire.kind_and_byte(datagram)
        if kind == wire.Kind.REQUEST and wire.unpack_request(datagram) == self.stream.byte:
            self._header_s = now_s
            return self._counted([wire.pack_header(self.stream)])
        if kind == wire.Kind.REPORT:
            self.report = wire.unpack_report(datagram, self.stream)
            return []
        raise PacketError(f"a {kind.name.lower()} of stream {byte} is not for this sender")

    def statistics(self, now_s: float) -> dict[str, Any]:
        """What was sent so far, and what the receiver last said of it."""
        packet_s = self.latency.frame_ms / 1000
        sound_s = self.num_packets * packet_s
        values: dict[str, Any] = {
            "session": f"{self.stream.session_id:08x}",
            "packets": self.num_packets,
            "payload_bytes": self.num_payload_bytes,
            "copy_bytes": self.num_copy_bytes,
            "wire_bytes": self.num_wire_bytes,
            "payload_kbps": round(self._rate.kbps(now_s), 2),
            "frame_ms": self.latency.frame_ms,
            "lookahead_ms": self.latency.lookahead_ms,
            "encode_real_time_factor": round(self.encode_cpu_s / sound_s, 5) if sound_s else 0.0,
        }
        if self.report is not None:
            values |= {
                "receiver_lost": self.report.num_lost,
                "receiver_late": self.report.num_late,
                "receiver_jitter_ms": self.report.jitter_us / 1000,
                "receiver_delay_ms": self.report.delay_us / 1000,
            }
        return values

    def _pack(self, make: Callable[[], list[Packet]], now_s: float) -> list[bytes]:
        begin_s = time.thread_time()
        packets = make()
        self.encode_cpu_s += time.thread_time() - begin_s
        datagrams = []
        if now_s - self._header_s >= HEADER_EVERY_S:
            self._header_s = now_s
            datagrams.append(wire.pack_header(self.stream))
        for packet in packets:
            datagrams.append(wire.pack(packet, self.stream))
            self.num_packets += 1
            self.num_payload_bytes += len(packet.payload)
            self.num_copy_bytes += sum(len(payload) for _, payload in packet.copies)
            self._rate.add(now_s, len(packet.payload))
        return self._counted(datagrams)

    def _counted(self, datagrams: list[bytes]) -> list[bytes]:
        self.num_wire_bytes += sum(map(len, datagrams))
        return datagrams


def arrived_packets(log: Iterable[Passage]) -> set[int]:
    """Of one stream's datagrams in the log of a simulated network: the times of the packets that arrived.

    The last packet is sent several times, headers are no packets: this is what a receiver can have counted.
    """
    heads = [passage.head for passage in log if passage.arrivals_s]
    packets = [head for head in heads if wire.kind_and_byte(head)[0] == wire.Kind.PACKET]
    return {int.from_bytes(head[4:8], "little") for head in packets}


@dataclass
class Incoming:
    """One stream as it is received: `playout.read` gives its samples."""

    stream: wire.Stream
    header: Header
    playout: Playout
    address: Address
    decoder: Decoder
    begin_s: float
    heard_s: float
    first_seq: int | None = None
    jitter_s: float = 0.0
    num_payload_bytes: int = 0
    rate: Rate = field(default_factory=Rate)
    reported_s: float = float("-inf")
    _transit_s: float | None = None

    def put(self, packet: Packet, now_s: float) -> None:
        """A packet of this stream."""
        buffer = self.playout.buffer
        before = buffer.counts.received
        self.playout.put(packet, now_s)
        if buffer.counts.received == before:
            return  # a duplicate
        self.first_seq = packet.seq if self.first_seq is None else min(self.first_seq, packet.seq)
        self.num_payload_bytes += len(packet.payload)
        self.rate.add(now_s, len(packet.payload))
        # Interarrival jitter as RTP defines it (RFC 3550, 6.4.1): a running mean of changes of transit.
        transit_s = now_s - buffer.media_s(packet.seq)
        if self._transit_s is not None:
            self.jitter_s += (abs(transit_s - self._transit_s) - self.jitter_s) / 16
        self._transit_s = transit_s

    @property
    def num_missing(self) -> int:
        """Packets that have not arrived, of those up to the highest that has."""
        if self.first_seq is None:
            return 0
        buffer = self.playout.buffer
        return max((self.stream.seq - self.first_seq) // buffer.frames + 1 - buffer.counts.received, 0)

    def statistics(self, now_s: float) -> dict[str, Any]:
        """What was received and played so far, and where the delay comes from."""
        playout, latency = self.playout, self.decoder.latency
        buffer, played = playout.buffer, playout.played
        rate_hz = self.header.sample_rate_hz
        due = buffer.counts.received + self.num_missing
        sound_s = played.samples / rate_hz
        decoded = max(buffer.counts.played, 1)
        decode_ms = 1000 * played.decode_cpu_s / decoded
        delay_ms = 1000 * buffer.delay_s
        return {
            "session": f"{self.stream.session_id:08x}",
            "packets": buffer.counts.received,
            "missing": self.num_missing,
            "loss": round(self.num_missing / due, 5) if due else 0.0,
            "late": buffer.counts.late,
            "duplicate": buffer.counts.duplicate,
            "repaired": buffer.counts.copied,
            "refused": played.refused_packets,
            "concealed_ms": round(1000 * played.concealed / rate_hz, 1),
            "held_ms": round(1000 * played.held / rate_hz, 1),
            "skipped": buffer.counts.skipped,
            "payload_kbps": round(self.rate.kbps(now_s), 2),
            "frame_ms": latency.frame_ms,
            "lookahead_ms": latency.lookahead_ms,
            "jitter_delay_ms": round(delay_ms, 1),
            "decode_ms": round(decode_ms, 3),
            "total_delay_ms": round(latency.frame_ms + latency.lookahead_ms + delay_ms + decode_ms, 1),
            "jitter_ms": round(1000 * self.jitter_s, 2),
            "drift_ppm": round(playout.drift.ppm, 1),
            "decode_real_time_factor": round(played.decode_cpu_s / sound_s, 5) if sound_s else 0.0,
            "played_s": round(sound_s, 2),
            "level": round(playout.level, 4),
        }


class Receiver:
    """All streams that arrive at one port.

    `make_decoder` is `narrows.decoder`: header to session. What cannot be used is counted in `counts` and
    changes nothing; the reason of the last is `problem`. A stream is refused whose packets are so long that
    `max_streams` like it could take more than `limits.max_output_bytes`.
    """

    def __init__(
        self,
        make_decoder: Callable[[bytes], Decoder],
        *,
        limits: Limits = Limits(),
        max_streams: int = MAX_STREAMS,
        **playout: Any,
    ) -> None:
        self.streams: dict[int, Incoming] = {}
        self.counts = {"datagrams": 0, "refused": 0, "without_header": 0}
        self.problem = ""
        self._make_decoder = make_decoder
        self._limits, self._max_streams = limits, max_streams
        self._playout = playout
        self._pending: deque[tuple[int, bytes, float, Address]] = deque(maxlen=_PENDING_DATAGRAMS)
        self._ended: deque[int] = deque(maxlen=MAX_STREAMS)
        self._requested_s: dict[tuple[Address, int], float] = {}

    def handle(self, datagram: bytes, now_s: float, address: Address = None) -> list[bytes]:
        """Take a datagram from `address`; what to answer there. Never raises for what a network may bring."""
        self.counts["datagrams"] += 1
        try:
            kind, byte = wire.kind_and_byte(datagram)
            if kind == wire.Kind.HEADER:
                self._open(wire.unpack_header(datagram), now_s, address)
            elif kind == wire.Kind.PACKET:
                return self._packet(datagram, byte, now_s, address)
            else:
                raise PacketError(f"a {kind.name.lower()} is for senders")
        except NarrowsError as error:
            self.counts["refused"] += 1
            self.problem = str(error)
        return []

    def reports(self, now_s: float) -> list[tuple[Address, bytes]]:
        """Reports that are due, and where they go."""
        due = []
        for incoming in self.streams.values():
            if now_s - incoming.reported_s >= REPORT_EVERY_S and incoming.first_seq is not None:
                incoming.reported_s = now_s
                counts = incoming.playout.buffer.counts
                report = wire.Report(
                    incoming.stream.seq,
                    counts.received,
                    incoming.num_missing,
                    counts.late,
                    round(1e6 * incoming.jitter_s),
                    round(1e6 * incoming.playout.buffer.delay_s),
                )
                due.append((incoming.address, wire.pack_report(report, incoming.stream)))
        return due

    def close(self, session_id: int, *, for_good: bool = True) -> None:
        """Forget a stream; `for_good`: what still comes of it opens it no more."""
        self.streams.pop(session_id, None)
        if for_good:
            self._ended.append(session_id)

    def _packet(self, datagram: bytes, byte: int, now_s: float, address: Address) -> list[bytes]:
        candidates = [s for s in self.streams.values() if s.stream.byte == byte]
        for incoming in candidates:
            try:
                packet = wire.unpack(datagram, incoming.stream)
            except PacketError as error:
                if len(candidates) == 1:
                    self.problem = str(error)
                continue
            incoming.heard_s = now_s
            incoming.address = address
            incoming.put(packet, now_s)
            return []
        if candidates:
            self.counts["refused"] += 1
        else:
            self.counts["without_header"] += 1
            self.problem = "packets came, but not the header of their stream"
            self._pending.append((byte, datagram, now_s, address))
        # Of another session with the same byte, perhaps: its header settles it.
        return self._request(byte, now_s, address)

    def _request(self, byte: int, now_s: float, address: Address) -> list[bytes]:
        key = (address, byte)
        if now_s - self._requested_s.get(key, float("-inf")) < REQUEST_EVERY_S:
            return []
        if len(self._requested_s) >= _PENDING_DATAGRAMS:
            self._requested_s.clear()
        self._requested_s[key] = now_s
        return [wire.pack_request(byte)]

    def _open(self, stream: wire.Stream, now_s: float, address: Address) -> None:
        known = self.streams.get(stream.session_id)
        if known is not None:
            if known.stream.header != stream.header:
                raise PacketError("another header for a session that has one")
            known.heard_s = now_s
            return
        if stream.session_id in self._ended:
            return
        if len(self.streams) >= self._max_streams:
            raise OptionError(f"there are {self._max_streams} streams already")
        _, header = container.read_preamble(container.Input(stream.header), self._limits)
        if header.media != Media.AUDIO:
            raise PacketError(f"a stream of {header.media.name.lower()}, not of audio")
        decoder = self._make_decoder(stream.header)
        packet_bytes = ceil(decoder.latency.frame_ms / 1000 * header.sample_rate_hz) * header.channels * 4
        self._limits.check("max_output_bytes", packet_bytes * _HELD_PACKETS * self._max_streams)
        playout = Playout(decoder, header.sample_rate_hz, header.channels, **self._playout)
        incoming = Incoming(stream, header, playout, address, decoder, now_s, now_s)
        self.streams[stream.session_id] = incoming
        waiting = [item for item in self._pending if item[0] == stream.byte]
        for item in waiting:
            self._pending.remove(item)
            self._packet(item[1], item[0], item[2], item[3])
