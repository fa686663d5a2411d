"""Fuzzes reading: `python tests/fuzz/fuzz_container.py [--seconds 600] [--seed N]`. Prints a failure's bytes.

Mutates the golden files and one stream of each codec by a seeded mutator that knows the format, half of them
with repaired checksums; with `--atheris`, where that is installed, under its coverage feedback instead.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from conformance.streams import Pipe  # noqa: E402
from fuzz.mutate import mutations  # noqa: E402

import narrows  # noqa: E402
from narrows.container import Reader  # noqa: E402
from narrows.contracts import Want  # noqa: E402

GOLDEN = HERE.parent / "golden"
LIMITS = narrows.Limits(max_output_bytes=1 << 24, max_pixels=1 << 20, max_samples=1 << 22)
REFUSALS = (narrows.StreamError, narrows.LimitExceeded, narrows.ModelNotFound)


def seeds() -> list[bytes]:
    """Small streams, good and bad, to begin from."""
    return [path.read_bytes() for path in sorted(GOLDEN.glob("*/**/*.nrws")) if path.stat().st_size < 20_000]


def read(data: bytes) -> None:
    """Every way of reading: each either gives something or raises one of our exceptions."""
    ways: list[Any] = [
        lambda: narrows.decode(data, limits=LIMITS),
        lambda: narrows.decode(Pipe(data, 100), limits=LIMITS),
        lambda: narrows.decode(data, limits=LIMITS, partial=True),
        lambda: narrows.decode(Pipe(data, 100), limits=LIMITS, partial=True),
        lambda: narrows.decode(data, limits=LIMITS, start=1, stop=3),
        lambda: narrows.decode(data, limits=LIMITS, scale=0.25),
        lambda: list(narrows.open(data, limits=LIMITS)),
        lambda: narrows.info(data, limits=LIMITS),
        lambda: seek(data),
    ]
    for way in ways:
        with contextlib.suppress(*REFUSALS, narrows.OptionError):
            way()


def seek(data: bytes) -> None:
    """Chunks by index or scan, from the last to the first, and the tracks."""
    reader = Reader(data, LIMITS)
    for info in reversed(reader.entries()):
        reader.read(info)
    for track in range(len(reader.tracks)):
        for chunk in reader.source(track).covering(Want(start=1, stop=2)):
            assert chunk.track == track


def fuzz(seconds: float, seed: int, most: int = 10**9) -> int:
    """Read mutations for so long or so many; the count. A failure has its input in hexadecimal as a note."""
    start, count = time.perf_counter(), 0
    rng = random.Random(seed)
    streams = seeds()
    while time.perf_counter() - start < seconds and count < most:
        for data, _ in mutations(rng.choice(streams), 20, rng.randrange(2**32)):
            before = time.perf_counter()
            try:
                read(data)
                if time.perf_counter() - before > 10:
                    raise TimeoutError("over ten seconds for one input")
            except BaseException as error:
                error.add_note(f"input: {data.hex()}")
                raise
            count += 1
    return count


def with_atheris(arguments: list[str]) -> None:
    """Coverage-guided, until stopped."""
    import atheris  # type: ignore[import-not-found,unused-ignore]

    def one(data: bytes) -> None:
        read(data)

    atheris.Setup([sys.argv[0], *arguments], one)
    atheris.Fuzz()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--atheris", action="store_true")
    options, rest = parser.parse_known_args()
    if options.atheris:
        with_atheris(rest)
    print(f"{fuzz(options.seconds, options.seed):,} inputs, seed {options.seed}, nothing found")
