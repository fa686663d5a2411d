"""Damaged, cut, hostile, newer streams of every codec: an exception of ours, in bounded time and memory."""

from __future__ import annotations

import contextlib
import io
import resource
import struct
import time
from typing import Any

import pytest
from conformance.cases import signals_for
from conformance.streams import Pipe, coded, presets, signal_of
from fuzz.mutate import frames, mutations, repaired

import narrows
from narrows.container import Reader, Writer, header_bytes
from narrows.contracts import MEDIA_OF, Chunk, Header, Kind, dims_of
from narrows.signals import Signal, equal

REFUSALS = (narrows.StreamError, narrows.LimitExceeded, narrows.ModelNotFound)
LIMITS = narrows.Limits(max_output_bytes=1 << 26, max_pixels=1 << 22)
SECONDS_A_DECODE = 5.0


def decoded(stream: bytes, **how: Any) -> Signal | None:
    """What a stream decodes to, or None if one of our exceptions says why not; any other comes through."""
    start = time.perf_counter()
    try:
        return narrows.decode(stream, limits=LIMITS, **how)
    except REFUSALS:
        return None
    finally:
        assert time.perf_counter() - start < SECONDS_A_DECODE


def refused(stream: bytes, **how: Any) -> bool:
    """Whether decoding raises one of our exceptions."""
    return decoded(stream, **how) is None


def cut_everywhere(stream: bytes, count: int) -> None:
    """Decode `count` prefixes, spread out, and all those at the edges of fields and chunks."""
    edges = {at + d for frame in frames(stream) for at in frame for d in (-1, 0, 1)}
    spread = range(0, len(stream), max(1, len(stream) // count))
    for size in sorted({*spread, *range(min(len(stream), 40)), *edges}):
        if 0 <= size < len(stream):
            assert refused(stream[:size]), f"the first {size} bytes of {len(stream)}"
            if size % 4 == 0:
                with pytest.raises(narrows.TruncatedStream):
                    narrows.decode(Pipe(stream[:size]))


def test_a_prefix_raises(codec: Any, case: str) -> None:
    cut_everywhere(coded(codec.name, case, "default"), 40)


@pytest.mark.slow
def test_every_prefix_raises(codec: Any, case: str) -> None:
    for preset in presets(codec):
        cut_everywhere(coded(codec.name, case, preset), 10**9)


def test_bytes_behind_the_end_raise(codec: Any) -> None:
    for case in signals_for(codec.signal):
        stream = coded(codec.name, case, "default")
        assert refused(stream + b"\0")
        assert refused(stream + stream)


def unnoticed(codec: Any, count: int, seed: int) -> list[str]:
    """Corruptions with wrong checksums that decoding took for sound; the memory they cost is bounded."""
    found = []
    streams = [
        coded(codec.name, case, preset) for case in signals_for(codec.signal) for preset in presets(codec)
    ]
    each = -(-count // len(streams))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number, stream in enumerate(streams):
        for attack, repair in mutations(stream, each, seed + number):
            forms = (attack, Pipe(attack)) if number % 5 == 0 else (attack,)
            if not all([refused(form) for form in forms]) and not repair:
                found.append(f"stream {number} seed {seed + number}: {attack.hex()}")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 500, f"{grown:.0f} MiB"
    return found


def test_corruptions_raise_or_stay_within_limits(codec: Any) -> None:
    assert unnoticed(codec, 200, seed=1) == []


@pytest.mark.slow
def test_many_corruptions_raise_or_stay_within_limits(codec: Any) -> None:
    assert unnoticed(codec, 10_000, seed=1_000_000) == []


def test_partial_decoding_of_a_prefix_gives_what_is_whole(codec: Any, case: str) -> None:
    stream = coded(codec.name, case, "default")
    whole = narrows.decode(stream)
    ends = [end for _, _, end in frames(stream)]
    for cut in {*ends, *(end - 3 for end in ends), len(stream) // 2}:
        try:
            decoded = narrows.decode(stream[:cut], partial=True)
        except narrows.StreamError:
            continue
        assert type(decoded) is codec.signal
    if len(ends) > 2:
        assert equal(narrows.decode(stream[: ends[-2]], partial=True), whole)


def test_partial_decoding_goes_around_damage(codec: Any, case: str) -> None:
    stream = coded(codec.name, case, "default")
    for start, body, end in list(frames(stream))[1:-1]:
        for at in (body + 2, end - 5, end - 1):
            if start < at < end:
                damaged = stream[:at] + bytes([stream[at] ^ 0x55]) + stream[at + 1 :]
                assert refused(damaged)
                with narrows.open(damaged, partial=True) as opened:
                    with contextlib.suppress(narrows.StreamError):
                        assert type(opened.read()) is codec.signal
                    assert opened.reader.damage


def rewritten(stream: bytes, change: Any) -> bytes:
    """The stream with the list of its chunks' bytes changed, END counting right."""
    pieces = [stream[start:end] for start, _, end in frames(stream)]
    pieces = [pieces[0], *change(pieces[1:-1])]
    end = bytes([Kind.END, 1, len(pieces) - 1]) if len(pieces) < 129 else b""
    if not end:
        pytest.skip("END needs a longer number")
    return repaired(b"".join(pieces) + end + bytes(4))


def test_unknown_ancillary_chunks_are_ignored(codec: Any, case: str) -> None:
    stream = coded(codec.name, case, "default")
    stranger = b"\xa1\x03abc" + bytes(4)
    for place in (0, 10**6):
        changed = rewritten(stream, lambda chunks, at=place: [*chunks[:at], stranger, *chunks[at:]])
        assert equal(narrows.decode(changed), narrows.decode(stream))


def test_unknown_critical_chunks_are_refused(codec: Any, case: str) -> None:
    stream = coded(codec.name, case, "default")
    stranger = b"\x21\x03abc" + bytes(4)
    with pytest.raises(narrows.UnsupportedStream, match="critical chunk 21"):
        narrows.decode(rewritten(stream, lambda chunks: [stranger, *chunks]))


def test_missing_and_repeated_chunks_are_refused(codec: Any, case: str) -> None:
    stream = coded(codec.name, case, "default")
    coded_chunks = [c for c in narrows.info(stream).chunks if c.kind in (Kind.DATA, Kind.PART, Kind.TABLE)]
    for number in range(len(coded_chunks)):
        assert refused(rewritten(stream, lambda chunks, n=number: chunks[:n] + chunks[n + 1 :]))
        assert refused(rewritten(stream, lambda chunks, n=number: chunks[: n + 1] + chunks[n:]))


def reheaded(stream: bytes, **changes: Any) -> bytes:
    """The stream under another header."""
    reader = Reader(stream)
    fields = {
        name: getattr(reader.header, name)
        for name in ("media", "codec", "version", "dims", "params", "model")
    }
    form = header_bytes(Header(**{**fields, **changes}))
    start = next(end for _, _, end in frames(stream))
    length = bytes([len(form)]) if len(form) < 128 else bytes([len(form) & 127 | 128, len(form) >> 7])
    return repaired(stream[:6] + length + form + bytes(4) + stream[start:])


def test_another_version_codec_or_medium_is_refused(codec: Any) -> None:
    stream = coded(codec.name, list(signals_for(codec.signal))[-1], "default")
    if codec.version < 255:
        with pytest.raises(narrows.UnsupportedStream, match="version"):
            narrows.decode(reheaded(stream, version=codec.version + 1))
    with pytest.raises(narrows.UnsupportedStream, match="unknown"):
        narrows.decode(reheaded(stream, codec="no/such"))
    for kind, media in MEDIA_OF.items():
        if kind is not codec.signal:
            sample = next(iter(signals_for(kind).values()))
            dims = Header.of(codec, sample).dims
            assert refused(reheaded(stream, media=media, dims=dims))


def test_params_that_lie_are_refused_or_decoded_within_limits(codec: Any, case: str) -> None:
    stream = coded(codec.name, case, "default")
    dims, params = Reader(stream).header.dims, Reader(stream).header.params
    attacks = [params[:-1], params + b"\0", b"", b"\xff" * len(params), bytes(len(params)), b"\xff" * 300]
    for at in range(len(params)):
        attacks += [params[:at] + bytes([value]) + params[at + 1 :] for value in (0, 1, 0x7F, 0x80, 0xFF)]
    for attack in attacks:
        signal = decoded(reheaded(stream, params=attack))
        assert signal is None or dims_of(signal) == dims
    # What nobody asked for is an error, not a guess.
    assert refused(reheaded(stream, params=params + b"\0"))


def test_dims_that_lie_are_refused_or_decoded_within_limits(codec: Any, case: str) -> None:
    stream = coded(codec.name, case, "default")
    dims = Reader(stream).header.dims
    for at, value in enumerate(dims):
        for other in {1, 2, 3, 4, 8, 16, value + 1, value * 2, max(value - 1, 1), 1 << 20} - {value, 0}:
            changed = (*dims[:at], other, *dims[at + 1 :])
            try:
                attack = reheaded(stream, dims=changed)
            except ValueError:
                continue
            signal = decoded(attack)
            assert signal is None or dims_of(signal) == changed


def test_an_empty_payload_is_refused_or_decoded_within_limits(codec: Any, case: str) -> None:
    """Entries stay true, the codec's bytes are gone, cut, zero or noise: only the codec can tell."""
    stream = coded(codec.name, case, "default")
    reader = Reader(stream)
    chunks = list(reader.source())
    for number, chunk in enumerate(chunks):
        size = len(chunk.payload)
        for payload in (
            b"",
            b"\0",
            chunk.payload[: size // 2],
            bytes(size),
            b"\xff" * size,
            chunk.payload + b"\0",
        ):
            if payload == chunk.payload:
                continue
            out = io.BytesIO()
            writer = Writer(out, reader.header)
            for other in chunks[:number]:
                writer.write(other)
            writer.write(Chunk(payload, chunk.first, chunk.count, chunk.layer, chunk.kind))
            for other in chunks[number + 1 :]:
                writer.write(other)
            writer.finish()
            signal = decoded(out.getvalue())
            assert signal is None or dims_of(signal) == reader.header.dims


def test_a_check_that_differs_is_refused(codec: Any) -> None:
    if "exact" not in codec.traits:
        pytest.skip("samples are not promised to be the same everywhere")
    case = list(signals_for(codec.signal))[-1]
    stream = narrows.encode(signal_of(codec, case), codec.name, check=True)
    check = next(chunk for chunk in narrows.info(stream).chunks if chunk.kind == Kind.CHECK)
    at = check.offset + 3
    wrong = struct.pack("<I", struct.unpack_from("<I", stream, at)[0] ^ 1)
    with pytest.raises(narrows.CorruptStream, match="CHECK differs"):
        narrows.decode(repaired(stream[:at] + wrong + stream[at + 4 :]))
