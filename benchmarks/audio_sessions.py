"""What many sound sessions at once take, and one that goes on for an hour: CPU time and memory.

    python benchmarks/audio_sessions.py --sessions 100 --threads 2 --seconds 10
    python benchmarks/audio_sessions.py --hours 1

Each session has an encoder and a decoder of its own and is served every 20 ms of sound, as a server of calls
would. CPU time is that of the process; a share of 1 is one core kept busy in real time.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from tables import table as markdown

import narrows

KINDS = {"speech": (16_000, 1, 12.0), "music": (48_000, 2, 64.0)}
_PACKET_S = 0.02
_LOSS_EVERY = 20
_LOOP_S = 30


class Call:
    """One encoder and decoder; a packet in twenty is lost and concealed."""

    def __init__(self, name: str, samples: Any, offset: int) -> None:
        rate_hz, channels, kbps = KINDS[name]
        self._encoder = narrows.encoder(name, sample_rate_hz=rate_hz, channels=channels, kbps=kbps)
        self._decoder = narrows.decoder(self._encoder.header)
        self._samples, self._step = samples, round(_PACKET_S * rate_hz)
        self._at = offset % len(samples)
        self._count = offset
        self.took_s: list[float] = []
        self.state_bytes = 0

    def serve(self, *, keep: bool = True) -> None:
        """20 ms there and back."""
        block = self._samples[self._at : self._at + self._step]
        self._at = (self._at + self._step) % (len(self._samples) - self._step)
        begin_s = time.thread_time()
        for packet in self._encoder.push(block):
            self._count += 1
            self._decoder.push(None if self._count % _LOSS_EVERY == 0 else packet)
        if keep:
            self.took_s.append(time.thread_time() - begin_s)

    def states(self) -> tuple[int, int]:
        """Bytes of the saved states."""
        return len(self._encoder.save()), len(self._decoder.save())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kinds", default="speech,music", help="speech, music or both")
    parser.add_argument("--sessions", type=int, default=100, metavar="N")
    parser.add_argument("--threads", type=int, default=2, metavar="N")
    parser.add_argument("--seconds", type=float, default=10, metavar="S", help="of sound in each session")
    parser.add_argument("--hours", type=float, metavar="H", help="instead: one session for so long")
    options = parser.parse_args(arguments)
    names = options.kinds.split(",")
    if options.hours:
        print("\n".join(_long(names, options.hours)))
    else:
        print("\n".join(_many(names, options)))
    return 0


def _many(names: list[str], options: argparse.Namespace) -> list[str]:
    body = []
    for name in names:
        samples, _ = sound(name, _LOOP_S)
        before_kib = memory_kib()
        calls = [Call(name, samples, 977 * number) for number in range(options.sessions)]
        begin_s, begin_cpu_s = time.monotonic(), time.process_time()
        with ThreadPoolExecutor(options.threads) as pool:
            for _ in range(round(options.seconds / _PACKET_S)):
                list(pool.map(_serve, [calls[k :: options.threads] for k in range(options.threads)]))
        wall_s, cpu_s = time.monotonic() - begin_s, time.process_time() - begin_cpu_s
        took_ms = 1000 * np.concatenate([call.took_s for call in calls])
        encoder, decoder = calls[0].states()
        body.append(
            [
                name, str(options.sessions), str(options.threads), f"{cpu_s / options.seconds:.2f}",
                f"{wall_s / options.seconds:.2f}", f"{np.median(took_ms):.2f}",
                f"{np.percentile(took_ms, 99):.2f}", f"{encoder:,} / {decoder:,}",
                f"{(memory_kib() - before_kib) / options.sessions:.0f}",
            ]
        )  # fmt: skip
    head = ["codec", "sessions", "threads", "cores", "wall / sound", "ms a packet", "p99",
            "state bytes", "KiB a session"]  # fmt: skip
    return ["", "## sessions at once, encoder and decoder each", "", *markdown(head, body)]


def _serve(calls: list[Call]) -> None:
    for call in calls:
        call.serve()


def _long(names: list[str], hours: float) -> list[str]:
    body = []
    for name in names:
        call = Call(name, sound(name, _LOOP_S)[0], 0)
        packets = round(3600 * hours / _PACKET_S)
        for _ in range(packets // 60):
            call.serve(keep=False)
        early_kib, begin_s = memory_kib(), time.process_time()
        for _ in range(packets - packets // 60):
            call.serve(keep=False)
        share = (time.process_time() - begin_s) / (3600 * hours * 59 / 60)
        encoder, decoder = call.states()
        body.append(
            [name, f"{hours:g}", f"{share:.4f}", f"{early_kib:,}", f"{memory_kib():,}",
             f"{encoder:,} / {decoder:,}"]
        )  # fmt: skip
    head = ["codec", "hours", "of a core", "KiB after a 60th", "KiB at the end", "state bytes"]
    return ["", "## one session for long", "", *markdown(head, body)]


def sound(name: str, seconds: float) -> tuple[Any, int]:
    """Samples that are neither silence nor all the same (gliding buzzes, noise, pauses), and their rate."""
    rate_hz, channels, _ = KINDS[name]
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    rng = np.random.default_rng(1)
    pitch = np.cumsum(120 + 40 * np.sin(2 * np.pi * 0.3 * t)) / rate_hz
    voice = sum(np.sin(2 * np.pi * k * pitch + k) / k for k in range(1, 20))
    gate = np.clip(2 * np.sin(2 * np.pi * 1.3 * t) + 0.8, 0, 1)
    parts = [0.12 * gate * np.roll(voice, 500 * c) + rng.normal(0, 0.01, t.size) for c in range(channels)]
    return np.clip(np.stack(parts, axis=1), -1, 1).astype(np.float32), rate_hz


def memory_kib() -> int:
    """Resident memory of this process now. SystemExit where /proc is not."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        raise SystemExit("needs /proc to tell memory") from None
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


if __name__ == "__main__":
    sys.exit(main())
