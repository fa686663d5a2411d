"""A codec with sessions for tests only: frames of 20 ms as 16-bit PCM, half a frame late if asked to be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from narrows import container
from narrows.container import Input, varint
from narrows.contracts import Chunk, ChunkSource, Header, Latency, Packet, Want, check_range, crop
from narrows.errors import CorruptStream, PacketError, SignalError
from narrows.limits import Limits
from narrows.signals import Audio

LIVE = 1


@dataclass(frozen=True)
class Options:
    redundancy: int = 0
    late: bool = False

    def __post_init__(self) -> None:
        check_range("redundancy", self.redundancy, 0, 3)


class Pcm:
    """`pcm`: params are one byte, whether output is half a frame late."""

    name, version, signal, options = "pcm", 1, Audio, Options
    traits = frozenset({"streaming", "exact"})

    def encoder(self, header: Header, options: Options, *, state: bytes | None = None) -> PcmEncoder:
        return PcmEncoder(Header(header.media, "pcm", 1, header.dims, bytes([options.late])), options, state)

    def decoder(self, header: Header, *, state: bytes | None = None, limits: Limits = Limits()) -> PcmDecoder:
        limits.check("max_output_bytes", frame_of(header) * header.channels * 4)
        return PcmDecoder(header, state)

    def chunk(self, packets: list[Packet], first: int) -> Chunk:
        payload = varint(packets[0].seq) + b"".join(varint(len(p.payload)) + p.payload for p in packets)
        return Chunk(payload, first, sum(packet.count for packet in packets))

    def blocks(self, header: Header, chunks: ChunkSource, *, limits: Limits = Limits()) -> Iterator[Audio]:
        session = self.decoder(header)
        frame = frame_of(header)
        for chunk in chunks:
            data = Input(chunk.payload)
            seq, left = data.varint(), chunk.count
            while data.position < len(chunk.payload):
                payload = data.read(data.varint())
                count = min(frame, left)
                packet = Packet(seq, seq * frame, count, payload, True, count < frame)
                yield Audio(session.push(packet if payload else None), header.sample_rate_hz)
                seq, left = seq + 1, left - count
        yield Audio(session.finish(), header.sample_rate_hz)

    def encode(self, signal: Audio, options: Options, *, threads: int = 1) -> tuple[Header, Iterator[Chunk]]:
        header = Header.of(self, signal, bytes([options.late]))
        session = self.encoder(header, options)
        return header, iter([self.chunk(session.push(signal.samples) + session.finish(), 0)])

    def decode(
        self, header: Header, chunks: ChunkSource, want: Want, *, threads: int = 1, limits: Limits = Limits()
    ) -> Audio:
        blocks = [block.samples for block in self.blocks(header, chunks)]
        samples = np.concatenate([np.zeros((0, header.channels), np.float32), *blocks])
        return crop(Audio(samples, header.sample_rate_hz), want)


def frame_of(header: Header) -> int:
    return int(header.sample_rate_hz // 50)


def latency_of(late: bool) -> Latency:
    return Latency(20, 10 if late else 0)


class PcmEncoder:
    def __init__(self, header: Header, options: Options, state: bytes | None) -> None:
        self._header, self._options = header, options
        self._frame, self._channels = frame_of(header), header.channels
        saved: dict[str, Any] = json.loads(state) if state else {"seq": 0, "rest": [], "sent": []}
        self._seq = saved["seq"]
        self._rest = np.array(saved["rest"], np.int16).reshape(-1, self._channels)
        self._sent = [bytes.fromhex(text) for text in saved["sent"]]
        self.header = container.preamble(header.with_length(0), LIVE)
        self.latency = latency_of(options.late)

    def push(self, block: Any) -> list[Packet]:
        samples = np.asarray(getattr(block, "samples", block))
        if samples.ndim != 2 or samples.shape[1] != self._channels:
            raise SignalError(f"blocks are [time, {self._channels}], not {samples.shape}")
        if samples.dtype != np.int16:
            if np.isnan(samples).any():
                raise SignalError("NaN")
            samples = np.clip(np.rint(samples * 32_768), -32_768, 32_767).astype(np.int16)
        samples = np.concatenate([self._rest, samples])
        whole = len(samples) // self._frame * self._frame
        self._rest = samples[whole:]
        return [self._packet(samples[i : i + self._frame]) for i in range(0, whole, self._frame)]

    def finish(self) -> list[Packet]:
        count = len(self._rest)
        frame = np.zeros((self._frame, self._channels), np.int16)
        frame[:count] = self._rest
        return [self._packet(frame, count=count)]

    def _packet(self, frame: Any, count: int | None = None) -> Packet:
        seq = self._seq
        self._seq += 1
        distances = range(1, min(self._options.redundancy, seq) + 1)
        copies = tuple((d, self._sent[-d]) for d in distances)
        coarse = (frame[::4] >> 8).astype(np.int8).tobytes()
        self._sent = [*self._sent, coarse][-3:]
        payload = frame.astype("<i2").tobytes()
        size = self._frame if count is None else count
        return Packet(seq, seq * self._frame, size, payload, True, count is not None, copies)

    def save(self) -> bytes:
        sent = [payload.hex() for payload in self._sent]
        return json.dumps({"seq": self._seq, "rest": self._rest.tolist(), "sent": sent}).encode()


class PcmDecoder:
    packet_frames = 1

    def __init__(self, header: Header, state: bytes | None) -> None:
        if len(header.params) != 1:
            raise CorruptStream(f"params has {len(header.params)} bytes, not 1")
        self._frame, self._channels = frame_of(header), header.channels
        late = bool(header.params[0])
        saved: dict[str, Any] = json.loads(state) if state else {"seq": -1, "last": None, "held": None}
        self._seq, self._last, self._held = (
            saved["seq"],
            self._array(saved["last"]),
            self._array(saved["held"]),
        )
        self._delay = self._frame // 2 if late else 0
        self.latency = latency_of(late)

    def _array(self, values: Any) -> Any:
        return None if values is None else np.array(values, np.float32).reshape(-1, self._channels)

    def samples_before(self, seq: int) -> int:
        return seq * self._frame

    def seek(self, seq: int) -> None:
        self._seq, self._last = seq - 1, None

    def push(self, packet: Packet | None) -> Any:
        if packet is None:
            self._seq += 1
            last = np.zeros((self._frame, self._channels), np.float32) if self._last is None else self._last
            self._last = last * np.float32(0.7)
            return self._out(self._last)
        if packet.seq <= self._seq:
            raise PacketError(f"packet {packet.seq} after {self._seq}")
        size = len(packet.payload) // self._channels
        if size == 2 * self._frame:
            frame = np.frombuffer(packet.payload, "<i2").astype(np.float32) / 32_768
        elif size == -(-self._frame // 4):
            coarse = np.frombuffer(packet.payload, np.int8).reshape(-1, self._channels)
            frame = np.repeat(coarse.astype(np.float32) / 128, 4, axis=0)[: self._frame]
        else:
            raise PacketError(f"a payload of {len(packet.payload)} bytes")
        gap = [self.push(None) for _ in range(packet.seq - self._seq - 1)]
        self._seq = packet.seq
        self._last = frame.reshape(-1, self._channels)
        block = self._last[: packet.count] if packet.last else self._last
        return np.concatenate([*gap, self._out(block)])

    def _out(self, block: Any) -> Any:
        """`block`, late by the delay: trimmed at the start, given by `finish`."""
        held = self._held
        joined = block if held is None else np.concatenate([held, block])
        size = max(len(joined) - self._delay, 0)
        self._held = joined[size:]
        return joined[:size].copy()

    def finish(self) -> Any:
        rest = np.zeros((0, self._channels), np.float32) if self._held is None else self._held
        self._held = None
        return rest

    def save(self) -> bytes:
        arrays = {"last": self._last, "held": self._held}
        lists = {name: None if a is None else a.tolist() for name, a in arrays.items()}
        return json.dumps({"seq": self._seq, **lists}).encode()
