"""The writer and reader beyond the golden files: mistakes of the caller, laziness, limits, live, damage."""

from __future__ import annotations

import io
import tracemalloc
from typing import Any

import pytest
from conformance.streams import Pipe
from fuzz.mutate import frames, repaired
from hypothesis import given
from hypothesis import strategies as st

import narrows
from narrows.container import Input, Reader, Writer, header_bytes, parse_header, preamble, varint
from narrows.contracts import DIM_NAMES, Chunk, Header, Kind, Media, Want


def blob(size: int, **more: Any) -> Header:
    return Header(Media.BYTES, "bytes", 1, (size,), **more)


def stream(sizes: list[int], *, live: bool = False, indexed: bool = False, layers: int = 0) -> bytes:
    """DATA of these sizes, each followed by a PART for each layer."""
    out = io.BytesIO()
    writer = Writer(out, blob(0 if live else sum(sizes)), live=live, indexed=indexed)
    first = 0
    for number, size in enumerate(sizes):
        writer.write(Chunk(bytes([number % 256]) * size, first, size))
        for layer in range(1, layers + 1):
            writer.write(Chunk(bytes([layer]) * 9, first, size, layer, Kind.PART))
        first += size
    writer.finish()
    return out.getvalue()


@given(st.integers(0, 2**48))
def test_varints_are_minimal(value: int) -> None:
    data = varint(value)
    assert len(data) == max(1, -(-value.bit_length() // 7))
    assert sum((byte & 0x7F) << 7 * at for at, byte in enumerate(data)) == value


names = st.text(st.sampled_from("abcxyz019._/-"), min_size=1, max_size=32)


@given(
    st.sampled_from(sorted(Media)),
    names,
    st.integers(0, 255),
    st.lists(st.integers(1, 2), min_size=6, max_size=6),
    st.binary(max_size=300),
    st.sampled_from([b"", bytes(8)]),
)
def test_headers_survive(
    media: Media, name: str, version: int, dims: list[int], params: bytes, model: bytes
) -> None:
    dims = [
        min(dim, 1) if names == "pixel_format" else dim
        for dim, names in zip(dims, DIM_NAMES[media], strict=False)
    ]
    header = Header(media, name, version, tuple(dims), params, model)
    assert parse_header(header_bytes(header)) == header


WRONG_HEADERS: list[dict[str, Any]] = [
    {"codec": ""},
    {"codec": "Wave"},
    {"codec": "x" * 33},
    {"codec": "é"},
    {"version": 256},
    {"dims": (1, 2)},
    {"dims": (2**48 + 1,)},
    {"model": bytes(4)},
    {"params": bytes(65_536)},
]


@pytest.mark.parametrize(
    "fields", WRONG_HEADERS, ids=[str(next(iter(f.items())))[:30] for f in WRONG_HEADERS]
)
def test_a_header_that_the_format_cannot_say_is_a_mistake(fields: dict[str, Any]) -> None:
    full = {"media": Media.BYTES, "codec": "bytes", "version": 1, "dims": (1,), **fields}
    with pytest.raises(ValueError) as caught:
        preamble(Header(**full))
    assert not isinstance(caught.value, narrows.StreamError)


MISTAKES: dict[str, Any] = {
    "PART first": lambda w: w.write(Chunk(b"", 0, 1, 1, Kind.PART)),
    "a gap": lambda w: w.write(Chunk(b"", 1, 1)),
    "an overlap": lambda w: (w.write(Chunk(b"", 0, 5)), w.write(Chunk(b"", 4, 5))),
    "beyond the end": lambda w: w.write(Chunk(b"", 0, 11)),
    "layer 16": lambda w: w.write(Chunk(b"", 0, 1, 16)),
    "no such track": lambda w: w.write(Chunk(b"", 0, 1, 0, Kind.DATA, 1)),
    "negative": lambda w: w.write(Chunk(b"", -1, 1)),
    "TABLE with units": lambda w: w.write(Chunk(b"", 0, 1, 0, Kind.TABLE)),
    "END by hand": lambda w: w.write(Chunk(b"", 0, 0, 0, Kind.END)),
    "INDEX by hand": lambda w: w.metadata(Kind.INDEX, b""),
    "critical metadata": lambda w: w.metadata(0x21, b""),
    "ICC late": lambda w: (w.write(Chunk(b"", 0, 10)), w.metadata(Kind.ICC, b"")),
    "ICC twice": lambda w: (w.metadata(Kind.ICC, b""), w.metadata(Kind.ICC, b"")),
    "TRACK late": lambda w: (w.write(Chunk(b"", 0, 10)), w.add_track(blob(1))),
    "data behind CHECK": lambda w: (w.metadata(Kind.CHECK, b""), w.write(Chunk(b"", 0, 10))),
    "unfinished": lambda w: (w.write(Chunk(b"", 0, 9)), w.finish()),
    "17 tracks": lambda w: [w.add_track(blob(0)) for _ in range(16)],
}


@pytest.mark.parametrize("action", MISTAKES.values(), ids=list(MISTAKES))
def test_breaking_a_rule_when_writing_is_a_mistake(action: Any) -> None:
    writer = Writer(io.BytesIO(), blob(10))
    with pytest.raises(ValueError) as caught:
        action(writer)
    assert not isinstance(caught.value, narrows.StreamError)


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("layers", [0, 2])
def test_parts_read_only_their_chunks(indexed: bool, layers: int) -> None:
    data = stream([1_000] * 50, indexed=indexed, layers=layers)
    file = Counted(data)
    chunks = list(Reader(file).source().covering(Want(start=24_500, stop=26_500)))
    assert [c.first for c in chunks if c.kind == Kind.DATA] == [24_000, 25_000, 26_000]
    assert len(chunks) == 3 * (1 + layers)
    assert file.taken < (6_000 if indexed else 12_000)
    piped = list(Reader(Pipe(data)).source().covering(Want(start=24_500, stop=26_500)))
    assert piped == chunks


class Counted(io.BytesIO):
    taken = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data


def test_a_pipe_is_read_no_further_than_asked() -> None:
    data = stream([1_000] * 50)
    pipe = Pipe(data)
    source = iter(Reader(pipe).source())
    assert next(source).first == 0
    assert pipe.taken < 1_100
    assert next(source).first == 1_000
    assert pipe.taken < 2_200


def test_layers_skip_what_is_finer() -> None:
    data = stream([100] * 5, layers=3)
    for file in (data, Pipe(data)):
        assert [c.layer for c in Reader(file).source().layers(1)] == [0, 1] * 5


def test_a_second_iteration_goes_on_behind_the_first() -> None:
    for file in (stream([10] * 4), Pipe(stream([10] * 4))):
        source = Reader(file).source()
        assert next(iter(source)).first == 0
        assert [c.first for c in source] == [10, 20, 30]
        assert list(source) == []


def test_a_pipe_has_one_source_and_a_file_many() -> None:
    reader = Reader(stream([10] * 4))
    assert list(reader.source()) == list(reader.source())
    piped = Reader(Pipe(stream([10] * 4)))
    piped.source()
    with pytest.raises(ValueError, match="once"):
        piped.source()


def test_a_stream_may_begin_within_a_file() -> None:
    file = io.BytesIO(b"before" + stream([10] * 4, indexed=True))
    file.seek(6)
    reader = Reader(file)
    assert len(reader.entries()) == 4
    assert len(list(reader.source())) == 4


def test_a_live_stream_is_flushed_chunk_by_chunk_and_readable_when_cut() -> None:
    flushed: list[int] = []

    class Flushed(io.BytesIO):
        def flush(self) -> None:
            flushed.append(self.tell())

    out = Flushed()
    writer = Writer(out, blob(0), live=True)
    for number in range(5):
        writer.write(Chunk(b"abc", 10 * number, 3))
    assert len(flushed) == 5
    data = out.getvalue()
    for file in (data[:-2], Pipe(data[:-2])):
        with pytest.raises(narrows.TruncatedStream) as caught:
            list(Reader(file).source())
        assert caught.value.decodable
    for file in (data[:-2], Pipe(data[:-2])):
        reader = Reader(file, partial=True)
        assert [c.first for c in reader.source()] == [0, 10, 20, 30]
        assert [type(error) for error in reader.damage] == [narrows.TruncatedStream]


@pytest.mark.parametrize("indexed", [False, True])
def test_damage_costs_its_chunk_and_the_parts_behind_it(indexed: bool) -> None:
    data = stream([100] * 6, layers=2, indexed=indexed)
    _, body, _ = list(frames(data))[1 + 3 * 2]
    damaged = data[: body + 20] + b"\xff" + data[body + 21 :]
    for file in (damaged, Pipe(damaged)):
        with pytest.raises(narrows.CorruptStream, match="checksum"):
            list(Reader(file).source())
    for file in (damaged, Pipe(damaged)):
        reader = Reader(file, partial=True)
        found = [(c.first, c.layer) for c in reader.source()]
        assert found == [(first, layer) for first in (0, 100, 300, 400, 500) for layer in (0, 1, 2)]
        assert len(reader.damage) == 1


def test_a_lost_length_costs_one_group_of_a_file_and_the_rest_of_a_pipe() -> None:
    for indexed in (True, False):
        data = stream([100] * 6, indexed=indexed)
        start, _, _ = list(frames(data))[3]
        damaged = data[: start + 1] + b"\x7f" + data[start + 2 :]
        for file, left in ((damaged, [0, 100, 300, 400, 500]), (Pipe(damaged), [0, 100])):
            reader = Reader(file, partial=True)
            assert [c.first for c in reader.source()] == left
            assert reader.damage


@pytest.mark.parametrize("live", [False, True])
def test_bytes_deleted_or_inserted_anywhere_cost_the_chunk_they_hit(live: bool) -> None:
    out = io.BytesIO()
    writer = Writer(out, blob(0 if live else 600), live=live)
    for number in range(6):
        writer.write(Chunk(bytes(100 * [number]), 100 * number, 100))
    writer.finish()
    data = out.getvalue()
    for number, (begin, body, end) in enumerate(list(frames(data))[1:-1]):
        for at in (begin, begin + 1, body + 50, end - 2):
            for changed in (data[:at] + data[at + 7 :], data[:at] + b"\x01\x7f\x01" + data[at:]):
                reader = Reader(changed, partial=True)
                found = {chunk.first // 100 for chunk in reader.source()}
                # A cut at the end takes the head of the next as well.
                assert set(range(6)) - found <= {number, number + 1}, at
                assert reader.damage
                again = Reader(changed, partial=True).source().covering(Want(start=50, stop=600))
                assert {chunk.first // 100 for chunk in again} <= found


@pytest.fixture
def digested(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each checksum was taken of."""
    digest, counts = Input.digest, []

    def counted(self: Input, count: int) -> None:
        counts.append(count)
        digest(self, count)

    monkeypatch.setattr(Input, "digest", counted)
    return counts


def test_looking_for_the_next_chunk_is_bounded_whatever_the_bytes(digested: list[int]) -> None:
    head = stream([100] * 6)
    start, _, _ = list(frames(head))[1]
    # Each of these may begin a chunk of many bytes.
    for filling in (b"\x01\xff\x07\x00\x00\x01", b"\x01\x80\x08\x00\x00\x01\x01", b"\x7f\x01"):
        data = head[:start] + filling * (60_000 // len(filling))
        digested.clear()
        reader = Reader(data, partial=True)
        assert list(reader.source()) == []
        assert reader.damage
        assert sum(digested) <= 2 * 9 * len(data)  # the reader looks once, its source once more


def test_many_holes_take_no_more_work_than_one(digested: list[int]) -> None:
    out = io.BytesIO()
    writer = Writer(out, blob(400 * 10))
    for number in range(400):
        writer.write(Chunk(bytes(10), 10 * number, 10))
    writer.finish()
    data = out.getvalue()
    pieces, at = [], 0
    for begin, body, end in list(frames(data))[1:-1:2]:
        # In each damaged chunk, heads of what may be chunks of half of the rest.
        rest = (len(data) - end) // 2
        heads = (b"\x01" + bytes([rest & 127 | 128, rest >> 7]) + b"\x00\x9f\x1f\x01") * 6
        pieces += [data[at:begin], data[begin:body], b"\xff" + heads, data[body + 1 : end]]
        at = end
    changed = b"".join(pieces) + data[at:]
    reader = Reader(changed, partial=True)
    assert list(reader.source())
    assert sum(digested) <= 2 * 10 * len(changed)


def test_limits_are_named_with_what_raises_them() -> None:
    data = stream([100] * 6)
    at = next(end for _, _, end in frames(data))
    tagged = repaired(data[:at] + b"\x82\x64" + bytes(104) + data[at:])
    cases = [
        (data, {"max_header_bytes": 5}),
        (data, {"max_chunk_bytes": 100}),
        (data, {"max_chunks": 5}),
        (tagged, {"max_metadata_bytes": 99}),
    ]
    for given_data, limit in cases:
        name, allowed = next(iter(limit.items()))
        for file in (given_data, Pipe(given_data)):
            with pytest.raises(narrows.LimitExceeded) as caught:
                list(Reader(file, narrows.Limits(**limit)).source())
            assert (caught.value.limit, caught.value.allowed) == (name, allowed)
            assert f"--{name.replace('_', '-')}" in (caught.value.hint or "")


def test_a_declared_length_takes_no_memory() -> None:
    head = preamble(blob(2**30)) + b"\x01\xff\xff\xff\xff\x03\x00\x00\xff\xff\xff\xff\x03"
    for file in (head + bytes(1000), Pipe(head + bytes(1000))):
        tracemalloc.start()
        with pytest.raises(narrows.TruncatedStream):
            list(Reader(file).source())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 3 << 20


def test_many_chunks_take_little_memory() -> None:
    data = stream([1] * 20_000)
    tracemalloc.start()
    source = Reader(data).source()
    assert sum(1 for _ in source) == 20_000
    source.finish()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(data) + (1 << 21)
