"""Streams built to take memory, time or trust: sound as far as checksums go, and each must cost little."""

from __future__ import annotations

import io
import json
import resource
import struct
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from narrows._core import crc32c

import narrows
from narrows.container import Reader, Writer, preamble, varint
from narrows.contracts import Chunk, Header, Kind, Media


@contextmanager
def cheap(seconds: float = 2, mebibytes: float = 20) -> Iterator[None]:
    """Fail if what is inside takes longer, or allocates more at once."""
    tracemalloc.start()
    start = time.perf_counter()
    try:
        yield
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert time.perf_counter() - start < seconds
    assert peak < mebibytes * 2**20


def blob(size: int, codec: str = "bytes") -> Header:
    return Header(Media.BYTES, codec, 1, (size,))


def framed(kind: int, payload: bytes) -> bytes:
    head = bytes([kind]) + varint(len(payload)) + payload
    return head + struct.pack("<I", crc32c(head))


def end(count: int) -> bytes:
    return framed(Kind.END, varint(count))


def test_a_header_that_claims_everything_allocates_nothing() -> None:
    for header in (
        blob(2**48),
        Header(Media.IMAGE, "wave", 1, (2**20, 2**20, 4, 16, 1)),
        Header(Media.AUDIO, "speech", 1, (2**48, 255, 2**48)),
        Header(Media.TOKENS, "tokens", 1, (2**48, 2**48, 2**48)),
        Header(Media.VECTORS, "embedding", 1, (2**48, 2**48)),
    ):
        data = preamble(header) + framed(Kind.DATA, b"\0\0" + varint(header.length) + b"\0" * 9) + end(1)
        with cheap(), pytest.raises((narrows.LimitExceeded, narrows.StreamError)):
            narrows.decode(data)
        with cheap():
            assert narrows.info(data).num_bytes == len(data)


def test_a_picture_within_limits_and_without_data_touches_no_planes() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    header = Header(Media.IMAGE, "wave", 1, (2**14, 2**14, 4, 8, 1))
    for payload in (b"", b"\0" * 40, b"\xff" * 40):
        for params in (b"", b"\0" * 9, b"\1" * 9, b"\2", b"\2" * 9):
            form = Header(header.media, header.codec, 1, header.dims, params)
            data = preamble(form) + framed(Kind.DATA, b"\0\0" + varint(2**14) + payload) + end(1)
            with pytest.raises((narrows.LimitExceeded, narrows.StreamError, narrows.ModelNotFound)):
                narrows.decode(data)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


def test_a_block_of_nothing_cannot_claim_gigabytes() -> None:
    for mode in range(4):
        data = preamble(blob(2**30)) + framed(Kind.DATA, b"\0\0" + varint(2**30) + bytes([mode])) + end(1)
        with cheap(), pytest.raises((narrows.LimitExceeded, narrows.StreamError)):
            narrows.decode(data)


def test_a_million_empty_chunks_are_too_many() -> None:
    data = preamble(blob(0)) + framed(0xA0, b"") * 1001 + end(0)
    with cheap(), pytest.raises(narrows.LimitExceeded, match="max_chunks"):
        narrows.decode(data, limits=narrows.Limits(max_chunks=1000))


@pytest.mark.slow
def test_a_million_empty_chunks_are_too_many_by_default() -> None:
    data = preamble(blob(0)) + framed(0xA0, b"") * (2**20 + 1) + end(0)
    with pytest.raises(narrows.LimitExceeded, match="max_chunks"):
        narrows.decode(data)


def test_empty_data_chunks_cannot_be_repeated_for_ever() -> None:
    data = preamble(blob(5)) + framed(Kind.DATA, b"\0\0\0\0") * 3000 + end(3000)
    with cheap(), pytest.raises(narrows.CorruptStream):
        narrows.decode(data)


def test_tracks_are_counted() -> None:
    form = preamble(blob(0))[7:-4]
    data = preamble(blob(0)) + framed(Kind.TRACK, form) * 16 + end(16)
    with cheap(), pytest.raises(narrows.LimitExceeded, match="max_tracks"):
        narrows.decode(data)


def test_deep_and_huge_tags_are_refused() -> None:
    for tags in (
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"a":' + b"9" * 100_000 + b"}",
        b'{"a":NaN}',
        b'{"a":null}',
    ):
        with cheap(), pytest.raises(narrows.CorruptStream, match="TAGS"):
            narrows.decode(preamble(blob(0)) + framed(Kind.TAGS, tags) + end(1))
    big = json.dumps({"a": "x" * 2**24}).encode()
    with cheap(mebibytes=40), pytest.raises(narrows.LimitExceeded, match="max_metadata_bytes"):
        Reader(preamble(blob(0)) + framed(Kind.TAGS, big) + end(1))


def test_metadata_is_counted_together() -> None:
    limits = narrows.Limits(max_metadata_bytes=1000)
    data = preamble(blob(0)) + framed(Kind.ICC, bytes(600)) + framed(Kind.EXIF, bytes(600)) + end(2)
    with pytest.raises(narrows.LimitExceeded, match="max_metadata_bytes"):
        narrows.decode(data, limits=limits)


def test_an_index_cannot_send_a_reader_in_circles() -> None:
    out = io.BytesIO()
    writer = Writer(out, blob(3), indexed=True)
    writer.write(Chunk(b"\0abc", 0, 3))
    writer.finish()
    sound = out.getvalue()
    at = Reader(sound).entries()[0].offset
    entry = b"\1\0" + varint(at) + b"\0\3"
    for entries in (entry + b"\1\0\0\0\3" * 50_000, entry * 50_000, entry + b"\1\0\1\0\3"):
        body = framed(Kind.INDEX, entries)
        start = sound.index(bytes([Kind.INDEX]), at)
        data = sound[:start] + body + framed(Kind.END, struct.pack("<II", 2, len(body)))
        with cheap(), pytest.raises(narrows.CorruptStream):
            narrows.decode(data, start=1, stop=2)
        with cheap(), pytest.raises(narrows.CorruptStream):
            narrows.decode(data)


def test_a_codec_name_is_not_a_path_or_a_module() -> None:
    for name in ("../../etc/passwd", "os.path", "narrows.codecs.bytes", "/dev/zero", "bytes/../bytes"):
        with pytest.raises(narrows.UnsupportedStream, match="unknown"):
            narrows.decode(preamble(blob(0, name)) + end(0))


def test_partial_reading_of_noise_ends() -> None:
    start = len(preamble(blob(10**6)))
    noise = preamble(blob(10**6)) + bytes(range(256)) * 400
    for seed in range(20):
        cut = noise[: start + seed] + noise[60 + seed * 7 :]
        with pytest.raises((narrows.StreamError, narrows.LimitExceeded)):
            narrows.decode(cut)
        with cheap():
            assert isinstance(narrows.decode(cut, partial=True), narrows.Blob)
