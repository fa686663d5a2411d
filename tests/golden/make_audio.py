"""The golden vectors of `speech` and `music`: `python tests/golden/make_audio.py` writes what encoders make.

packets.json has packets of a short made sound at each setting and what they decode to, whole and with a
packet lost. It was written once, when version 1 was frozen: `--format` would write it again, and a diff there
is a change of the bitstream. encoded.json has checksums of what the encoder makes of the same sound today; a
better encoder changes it. A test writes neither.
"""

from __future__ import annotations

import json
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np

import narrows

FILE = Path(__file__).parent / "v1" / "audio" / "packets.json"
ENCODED = FILE.with_name("encoded.json")
CASES: list[tuple[str, int, int, dict[str, Any]]] = [
    ("speech", 16_000, 1, {"kbps": 6}),
    ("speech", 16_000, 1, {"kbps": 8}),
    ("speech", 16_000, 1, {"kbps": 12}),
    ("speech", 16_000, 1, {"kbps": 16}),
    ("speech", 16_000, 1, {"kbps": 6, "constant": True}),
    ("speech", 16_000, 1, {"quality": 60}),
    ("speech", 16_000, 1, {"kbps": 12, "packet_frames": 5}),
    ("speech", 11_025, 1, {"kbps": 12}),
    ("speech", 24_000, 2, {"kbps": 24}),
    ("music", 48_000, 2, {"kbps": 12}),
    ("music", 44_100, 2, {"kbps": 24}),
    ("music", 48_000, 2, {"kbps": 48}),
    ("music", 44_100, 2, {"kbps": 64}),
    ("music", 48_000, 2, {"kbps": 128}),
    ("music", 48_000, 1, {"kbps": 32, "constant": True}),
    ("music", 44_100, 1, {"quality": 60, "packet_frames": 4}),
    ("music", 32_000, 3, {"kbps": 64}),
]


def sound(rate_hz: int, channels: int) -> Any:
    """A fifth of a second of gliding parabolas, noise that comes and goes, and a click, by integers alone:
    int16 [time, channels].
    """
    count = rate_hz // 5
    time = np.arange(count, dtype=np.int64)
    state, noise = 1, []
    for _ in range(count * channels):
        state = (state * 1_664_525 + 1_013_904_223) % 2**32
        noise.append((state >> 20) - 2048)
    columns = []
    for channel in range(channels):
        value = np.array(noise[channel::channels], np.int64) * (time * 1000 // rate_hz % 90) // 120
        for partial in range(1, 9):
            step = (110 + 37 * channel) * partial * 65536 // rate_hz
            phase = (time * step + time * time * step // rate_hz) % 65536 - 32768
            value += phase * (32768 - abs(phase)) // (65536 * partial)
        value[count // 2 : count // 2 + 8] += 9000
        columns.append(value)
    return np.clip(np.stack(columns, 1), -32768, 32767).astype(np.int16)


def crc32(samples: Any) -> str:
    """Of the samples as little-endian 24-bit integers in 32."""
    return f"{zlib.crc32(np.rint(samples * 2**23).astype('<i4').tobytes()):08x}"


def vector(name: str, rate_hz: int, channels: int, options: dict[str, Any]) -> dict[str, Any]:
    samples = sound(rate_hz, channels)
    encoder = narrows.encoder(name, sample_rate_hz=rate_hz, channels=channels, **options)
    packets = [*encoder.push(samples), *encoder.finish()]
    decoder, lossy = narrows.decoder(encoder.header), narrows.decoder(encoder.header)
    heard = [decoder.push(packet) for packet in packets]
    holes = [lossy.push(None if number == 2 else packet) for number, packet in enumerate(packets)]
    return {
        "codec": name,
        "rate_hz": rate_hz,
        "channels": channels,
        "options": options,
        "header": encoder.header.hex(),
        "packets": [packet.payload.hex() for packet in packets],
        "last_count": packets[-1].count,
        "samples": crc32(np.concatenate(heard)),
        "without_packet_2": crc32(np.concatenate(holes)),
    }


def encoded(made: dict[str, Any]) -> dict[str, Any]:
    """What is the same on every machine: bytes a packet, checksums of them and of their sound."""
    packets = [bytes.fromhex(packet) for packet in made["packets"]]
    return {
        "codec": made["codec"],
        "rate_hz": made["rate_hz"],
        "options": made["options"],
        "sizes": [len(packet) for packet in packets],
        "packets": f"{zlib.crc32(b''.join(packets)):08x}",
        "samples": made["samples"],
    }


def main(arguments: list[str]) -> None:
    vectors = [vector(*case) for case in CASES]
    if arguments == ["--format"]:
        FILE.write_text("[\n" + ",\n".join(map(json.dumps, vectors)) + "\n]\n")
    ENCODED.write_text("[\n" + ",\n".join(json.dumps(encoded(v)) for v in vectors) + "\n]\n")


if __name__ == "__main__":
    main(sys.argv[1:])
