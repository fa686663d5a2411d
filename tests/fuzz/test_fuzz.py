"""The fuzzer itself, for a moment in `make test` and for NARROWS_FUZZ_SECONDS (60) in `make test-all`."""

from __future__ import annotations

import os

import pytest
from fuzz.fuzz_container import fuzz, seeds
from fuzz.mutate import frames, mutations, repaired


def test_reading_mutated_streams_raises_only_our_exceptions() -> None:
    assert fuzz(seconds=60, seed=1, most=600) >= 600


@pytest.mark.slow
def test_reading_many_mutated_streams_raises_only_our_exceptions() -> None:
    assert fuzz(seconds=float(os.environ.get("NARROWS_FUZZ_SECONDS", "60")), seed=2) > 0


def test_mutations_are_the_same_for_a_seed_and_half_are_repaired() -> None:
    for stream in seeds()[:20]:
        if len(stream) < 20:
            continue
        made = list(mutations(stream, 20, seed=3))
        assert made == list(mutations(stream, 20, seed=3))
        assert sum(repair for _, repair in made) == 10
        assert all(data != stream for data, _ in made)


def test_repairing_a_sound_stream_changes_nothing() -> None:
    sound = [
        stream for stream in seeds() if list(frames(stream)) and list(frames(stream))[-1][2] == len(stream)
    ]
    assert len(sound) > 20
    for stream in sound:
        assert repaired(repaired(stream)) == repaired(stream)
