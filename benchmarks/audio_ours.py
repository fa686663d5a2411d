"""Our sound codecs for the benchmarks: a session coded and decoded, real packet bytes, one thread."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from audio_peers import Coded, Samples

import narrows
from narrows.contracts import Packet
from narrows.streaming.wire import copy_packets

CLOSE = 0.005  # how near to a peer's bytes a paired clip must come, from below
_STEPS = 14


class Session(NamedTuple):
    """What an encoder made of a clip."""

    header: bytes
    packets: list[Packet]
    encode_cpu_s: float

    @property
    def payload_bytes(self) -> int:
        return sum(
            len(packet.payload) + sum(len(copy) for _, copy in packet.copies) for packet in self.packets
        )


def encode(name: str, samples: Samples, sample_rate_hz: int, **options: Any) -> Session:
    """Packets of a live session, one frame each."""
    begin = time.process_time()
    encoder = narrows.encoder(name, sample_rate_hz=sample_rate_hz, channels=samples.shape[1], **options)
    packets = encoder.push(samples) + encoder.finish()
    return Session(encoder.header, packets, time.process_time() - begin)


def decode(session: Session, num_samples: int, lost: Sequence[bool] = (), *, repeat: bool = False) -> Coded:
    """The samples of a session; packets that `lost` names never come: a copy is decoded, or all is concealed.

    Copies need a jitter buffer that waits for the packets with them, one or two more. With `repeat` what the
    decoder would conceal is the last packet once more, in full: the plainest concealment there is.
    """
    begin = time.process_time()
    decoder = narrows.decoder(session.header)
    gone = [number < len(lost) and lost[number] for number in range(len(session.packets))]
    came = [packet for packet, away in zip(session.packets, gone, strict=True) if not away]
    copies = {copy.seq: copy for packet in came for copy in copy_packets(packet)}
    blocks = []
    heard: Packet | None = None
    for packet, away in zip(session.packets, gone, strict=True):
        played = copies.get(packet.seq) if away else packet
        if played is None and repeat and heard is not None:
            played = replace(packet, payload=heard.payload, copies=())
        else:
            heard = packet if not away else heard
        blocks.append(decoder.push(played))
    blocks.append(decoder.finish())
    samples = np.concatenate(blocks)[:num_samples]
    decode_cpu_s = time.process_time() - begin
    payloads = [
        packet.payload + b"".join(payload for _, payload in packet.copies) for packet in session.packets
    ]
    return Coded(payloads, samples, session.encode_cpu_s, decode_cpu_s)


def encode_within(
    name: str, samples: Samples, sample_rate_hz: int, limit_bytes: int, **options: Any
) -> tuple[Session, float]:
    """The session of the highest quality, fixed for the clip, whose payload stays within `limit_bytes`.

    Bisects `quality`; returns the session and that quality. If even quality 0 is too large it is returned.
    """
    low, high = 0.0, 100.0
    best = encode(name, samples, sample_rate_hz, quality=low, **options)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        session = encode(name, samples, sample_rate_hz, quality=middle, **options)
        if session.payload_bytes <= limit_bytes:
            best, low = session, middle
            if session.payload_bytes > (1 - CLOSE / 4) * limit_bytes:
                break
        else:
            high = middle
    return best, low


def missing(name: str) -> str:
    """Why a codec of ours cannot run here, or empty."""
    listed = {entry.name: entry for entry in narrows.list_codecs()}
    if name not in listed:
        return f"there is no codec {name} in this narrows"
    return listed[name].problem or ("" if "streaming" in listed[name].traits else f"{name} has no sessions")


def version() -> str:
    """The version of our rows."""
    return f"narrows {narrows.__version__}"
