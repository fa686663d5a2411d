"""What `bytes` promises beyond the laws of the conformance suite: its example, sizes, blocks."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

import narrows
from narrows import _core
from narrows.errors import CorruptStream, OptionError


def test_the_worked_example_of_the_format():
    expected = (
        "89 4e 52 57 01 00 0b 00 05 62 79 74 65 73 01 00 05 00 09 74 5c 1c "
        "01 09 00 00 05 00 68 65 6c 6c 6f f2 f5 cc a2 7f 01 01 e5 e4 8f 9b"
    )
    assert narrows.encode(b"hello", codec="bytes").hex(" ") == expected


def test_noise_grows_by_no_more_than_promised():
    noise = np.random.default_rng(1).integers(0, 256, 10_000, np.uint8).tobytes()
    assert len(narrows.encode(noise)) <= len(noise) + 64
    blocks = -(-len(noise) // 1024)
    assert len(narrows.encode(noise, block_bytes=1024)) <= len(noise) + 64 + 20 * (blocks - 1)


@pytest.mark.parametrize("block_bytes", [1024, 3000, 4 << 20])
def test_any_part_can_be_read_from_any_blocks(block_bytes):
    data = b"".join(b"line %d of many\n" % (i * i) for i in range(600))
    coded = [narrows.encode(data, block_bytes=block_bytes, threads=threads) for threads in (1, 2, 7)]
    assert coded[0] == coded[1] == coded[2]
    assert narrows.decode(coded[0], threads=2).data == data
    for start, stop in [(0, 1), (1023, 1025), (2999, 7001), (len(data) - 1, len(data) + 5), (50, 50)]:
        assert narrows.decode(coded[0], start=start, stop=stop).data == data[start:stop]


def test_blocks_have_a_range():
    with pytest.raises(OptionError, match="block_bytes"):
        narrows.encode(b"", codec="bytes", block_bytes=0)


@pytest.mark.parametrize("payload", [b"", b"\2ab", b"\0a", b"\0abc", b"\1abc"])
def test_payloads_that_lie_are_refused(payload):
    with pytest.raises(CorruptStream):
        _core.bytes_decode(payload, 2)


def test_a_large_block_is_not_decoded_from_nothing():
    with pytest.raises(CorruptStream):
        _core.bytes_decode(b"\1\x55\xaa\x33", _core.MAX_BLOCK_BYTES)


def test_source_code_beats_gzip():
    data = b"".join(path.read_bytes() for path in sorted(Path(narrows.__file__).parent.glob("*.py")))
    assert len(narrows.encode(data)) < 0.9 * len(gzip.compress(data, 9))


@pytest.mark.slow
@pytest.mark.skipif("NARROWS_DATA" not in os.environ, reason="NARROWS_DATA is not set")
def test_every_text_file_beats_gzip():
    for path in sorted((Path(os.environ["NARROWS_DATA"]) / "text").iterdir()):
        data = path.read_bytes()
        coded = narrows.encode(data)
        assert len(coded) < len(gzip.compress(data, 9)), path.name
        assert narrows.decode(coded).data == data
