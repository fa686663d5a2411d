"""CPU time of `speech` and `music` beside Opus, EnCodec and Mimi: one thread, seconds a second of sound.

    python benchmarks/audio_neural.py --seconds 3

EnCodec (24 kHz, 6 kbit/s) and Mimi (24 kHz, 8 codebooks) have random weights from transformers' own
configurations: time does not depend on weights, so that none need be fetched. They get the sound at once,
which is their fastest way. Medians of interleaved rounds.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import audio_ours
import numpy as np
from audio_peers import PEERS
from audio_sessions import sound
from tables import table as markdown

Timed = Callable[[], tuple[float, float]]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3, metavar="S", help="of sound; default 3")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    options = parser.parse_args(arguments)
    rows: dict[str, Timed] = {}
    for name, kbps in (("speech", 12), ("music", 64)):
        rows[f"{name}, {kbps} kbit/s"] = _ours(name, kbps, options.seconds)
    for name, kbps in (("speech", 12), ("music", 64)):
        rows[f"Opus, {kbps} kbit/s"] = _opus(name, kbps, options.seconds)
    try:
        rows |= _neural(options.seconds)
    except ImportError as error:
        print(f"skipped EnCodec and Mimi: {error}", file=sys.stderr)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in rows}
    for number in range(options.rounds + 1):
        for name, measure in rows.items():
            took = measure()
            if number:  # the first round also loads what is loaded once
                times[name].append(took)
    body = []
    for name, found in times.items():
        encode, decode = np.median(found, axis=0) / options.seconds
        body.append([name, f"{encode:.4f}", f"{decode:.4f}"])
    print(f"\n## CPU seconds a second of sound, {options.seconds:g} s, one thread\n")
    print("\n".join(markdown(["codec", "encode", "decode"], body)))
    return 0


def _ours(name: str, kbps: float, seconds: float) -> Timed:
    samples, rate_hz = sound(name, seconds)

    def measure() -> tuple[float, float]:
        session = audio_ours.encode(name, samples, rate_hz, kbps=kbps)
        return session.encode_cpu_s, audio_ours.decode(session, len(samples)).decode_cpu_s

    return measure


def _opus(name: str, kbps: float, seconds: float) -> Timed:
    samples, rate_hz = sound(name, seconds)

    def measure() -> tuple[float, float]:
        coded = PEERS["opus_audio"].code(samples, rate_hz, round(1000 * kbps))
        return coded.encode_cpu_s, coded.decode_cpu_s

    return measure


def _neural(seconds: float) -> dict[str, Timed]:
    # This folder's own tokenizers.py would stand for the package that transformers means.
    sys.path[:] = [
        path for path in sys.path if Path(path or ".").resolve() != Path(__file__).resolve().parent
    ]
    torch = importlib.import_module("torch")
    transformers = importlib.import_module("transformers")
    torch.set_num_threads(1)
    torch.manual_seed(1)
    encodec = transformers.EncodecModel(transformers.EncodecConfig()).eval()
    mimi = transformers.MimiModel(transformers.MimiConfig()).eval()
    noise = 0.1 * torch.randn(1, 1, round(24_000 * seconds))

    def timed(encode: Callable[[], Any], decode: Callable[[Any], Any]) -> Timed:
        def measure() -> tuple[float, float]:
            with torch.no_grad():
                begin = time.process_time()
                codes = encode()
                middle = time.process_time()
                decode(codes)
                return middle - begin, time.process_time() - middle

        return measure

    return {
        "EnCodec 24 kHz, 6 kbit/s": timed(
            lambda: encodec.encode(noise, bandwidth=6.0),
            lambda coded: encodec.decode(coded.audio_codes, coded.audio_scales),
        ),
        "Mimi, 8 codebooks": timed(
            lambda: mimi.encode(noise, num_quantizers=8), lambda coded: mimi.decode(coded.audio_codes)
        ),
    }


if __name__ == "__main__":
    sys.exit(main())
