"""CPU time of `speech` and `music` beside Opus, EnCodec and Mimi: whole files, one thread, seconds a second.

    python benchmarks/audio_neural.py
    python benchmarks/audio_neural.py --every 3 --rounds 5

Files are those of the evaluation sets. Ours keeps its rate by itself, in files (packets of a second) and live
(packets of 20 ms); in a third row the quality of each file is searched for Opus's bytes instead, as in the
tables of audio.py, and every coding of the search counts. EnCodec (24 kHz, 6 kbit/s) and Mimi (24 kHz, 8
codebooks) have random weights from transformers' own configurations: time does not depend on weights, so that
none need be fetched. They get each file at once, which is their fastest way. Medians of interleaved rounds.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import audio_ours
import numpy as np
from audio_peers import PEERS, forget_this_folder
from audio_rows import Clip, Store, clips
from tables import table as markdown

import narrows
from narrows.eval.metrics.audio import resample

Timed = Callable[[Clip], tuple[float, float]]
_KBPS = {"speech": 12.0, "music": 64.0}
_PEER = "opus_audio"
_NEURAL_RATE_HZ = 24_000


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every Nth file of a set")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    options = parser.parse_args(arguments)
    forget_this_folder()
    sounds = {name: clips(name)[:: options.every] for name in _KBPS}
    rows: dict[tuple[str, str], Timed] = {}
    for name, kbps in _KBPS.items():
        rows[name, f"{name}, {kbps:g} kbit/s, a file"] = _file(name, kbps)
        rows[name, f"{name}, {kbps:g} kbit/s, live"] = _live(name, kbps)
        rows[name, f"{name}, quality searched"] = _searched(name, kbps, sounds[name])
        rows[name, f"Opus, {kbps:g} kbit/s"] = _opus(kbps)
    try:
        rows |= {("speech", name): timed for name, timed in _neural().items()}
    except ImportError as error:
        print(f"skipped EnCodec and Mimi: {error}", file=sys.stderr)
    times: dict[tuple[str, str], list[tuple[float, ...]]] = {key: [] for key in rows}
    for number in range(options.rounds + 1):
        for key, timed in rows.items():
            # The first round loads what is loaded once, for which one file will do.
            found = [timed(clip) for clip in (sounds[key[0]] if number else sounds[key[0]][:1])]
            if number:
                times[key].append(tuple(map(sum, zip(*found, strict=True))))
    body = []
    for (name, title), found in times.items():
        encode, decode = np.median(found, axis=0) / sum(clip.seconds for clip in sounds[name])
        body.append([title, name, f"{encode:.4f}", f"{decode:.4f}", f"{encode + decode:.4f}"])
    said = " and ".join(f"{len(found)} files of {name}" for name, found in sounds.items())
    print(f"\n## CPU seconds a second of sound, {said}, one thread\n")
    print("\n".join(markdown(["codec", "set", "encode", "decode", "both"], body)))
    return 0


def _file(name: str, kbps: float) -> Timed:
    def timed(clip: Clip) -> tuple[float, float]:
        signal = narrows.Audio(clip.samples, clip.sample_rate_hz)
        begin = time.process_time()
        data = narrows.encode(signal, name, kbps=kbps)
        middle = time.process_time()
        narrows.decode(data)
        return middle - begin, time.process_time() - middle

    return timed


def _live(name: str, kbps: float) -> Timed:
    def timed(clip: Clip) -> tuple[float, float]:
        session = audio_ours.encode(name, clip.samples, clip.sample_rate_hz, kbps=kbps)
        return session.encode_cpu_s, audio_ours.decode(session, len(clip.samples)).decode_cpu_s

    return timed


def _searched(name: str, kbps: float, sounds: Sequence[Clip]) -> Timed:
    theirs = Store(None).peer(_PEER, name, kbps, list(sounds))
    limits = {row.clip: row.payload_bytes for row in theirs}

    def timed(clip: Clip) -> tuple[float, float]:
        begin = time.process_time()
        session, _ = audio_ours.encode_within(name, clip.samples, clip.sample_rate_hz, limits[clip.name])
        took_s = time.process_time() - begin
        return took_s, audio_ours.decode(session, len(clip.samples)).decode_cpu_s

    return timed


def _opus(kbps: float) -> Timed:
    def timed(clip: Clip) -> tuple[float, float]:
        coded = PEERS[_PEER].code(clip.samples, clip.sample_rate_hz, round(1000 * kbps))
        return coded.encode_cpu_s, coded.decode_cpu_s

    return timed


def _neural() -> dict[str, Timed]:
    torch = importlib.import_module("torch")
    transformers = importlib.import_module("transformers")
    torch.set_num_threads(1)
    torch.manual_seed(1)
    encodec = transformers.EncodecModel(transformers.EncodecConfig()).eval()
    mimi = transformers.MimiModel(transformers.MimiConfig()).eval()

    def timer(encode: Callable[[Any], Any], decode: Callable[[Any], Any]) -> Timed:
        def timed(clip: Clip) -> tuple[float, float]:
            samples = resample(clip.samples, clip.sample_rate_hz, _NEURAL_RATE_HZ)
            sound = torch.tensor(samples.mean(axis=1), dtype=torch.float32).reshape(1, 1, -1)
            with torch.no_grad():
                begin = time.process_time()
                codes = encode(sound)
                middle = time.process_time()
                decode(codes)
                return middle - begin, time.process_time() - middle

        return timed

    return {
        "EnCodec 24 kHz, 6 kbit/s": timer(
            lambda sound: encodec.encode(sound, bandwidth=6.0),
            lambda coded: encodec.decode(coded.audio_codes, coded.audio_scales),
        ),
        "Mimi, 8 codebooks": timer(
            lambda sound: mimi.encode(sound, num_quantizers=8), lambda coded: mimi.decode(coded.audio_codes)
        ),
    }


if __name__ == "__main__":
    sys.exit(main())
