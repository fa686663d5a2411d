"""Packets of `speech` and `music` decode to what they did, and encoders make the same everywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from golden.make_audio import CASES, ENCODED, FILE, crc32, encoded, sound, vector

import narrows
from narrows import _core
from narrows.contracts import Packet

VECTORS = json.loads(FILE.read_text())
MADE = json.loads(ENCODED.read_text())
IDS = [f"{v['codec']}-{v['rate_hz']}-{'-'.join(f'{k}{w}' for k, w in v['options'].items())}" for v in VECTORS]


def packets_of(golden: dict[str, Any]) -> list[Packet]:
    frames = golden["options"].get("packet_frames", 1)
    number = len(golden["packets"])
    return [
        Packet(
            i * frames,
            0,
            golden["last_count"] if i + 1 == number else 0,
            bytes.fromhex(payload),
            True,
            i + 1 == number,
        )
        for i, payload in enumerate(golden["packets"])
    ]


def test_every_case_has_a_vector() -> None:
    assert [(v["codec"], v["rate_hz"], v["channels"], v["options"]) for v in VECTORS] == CASES


@pytest.mark.parametrize("golden", VECTORS, ids=IDS)
def test_packets_decode_to_the_same_samples(golden: dict[str, Any]) -> None:
    for lost, expected in ((None, golden["samples"]), (2, golden["without_packet_2"])):
        decoder = narrows.decoder(bytes.fromhex(golden["header"]))
        heard = [
            decoder.push(None if number == lost else packet)
            for number, packet in enumerate(packets_of(golden))
        ]
        assert crc32(np.concatenate(heard)) == expected


@pytest.mark.parametrize(("case", "made"), list(zip(CASES, MADE, strict=True)), ids=IDS)
def test_sound_gives_the_same_packets(case: Any, made: dict[str, Any]) -> None:
    assert encoded(vector(*case)) == made


@pytest.fixture
def _isa() -> Iterator[None]:
    before = _core.isa()
    yield
    _core.set_isa(before)


@pytest.mark.usefixtures("_isa")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("isa", ["scalar", "avx2", "avx512", "neon"])
def test_neither_instructions_nor_threads_change_packets_or_samples(isa: str, threads: int) -> None:
    if isa not in _core.available_isas():
        pytest.skip(f"this machine has no {isa}")
    _core.set_isa(isa)
    with ThreadPoolExecutor(threads) as pool:
        made = list(pool.map(lambda case: encoded(vector(*case)), CASES))
    assert made == MADE


def test_the_sound_has_what_it_should() -> None:
    samples = sound(16_000, 1)
    assert samples.dtype == np.int16
    assert 2_000 < abs(samples.astype(int)).max() < 32_767
