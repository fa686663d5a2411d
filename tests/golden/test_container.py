"""Golden files of the container: the reader reads each as its .json says, the writer writes its bytes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from conformance.streams import Pipe
from golden import make_container

import narrows
from narrows import _core
from narrows.container import Reader, Writer, check_limits
from narrows.contracts import Chunk, Header, Kind, Media
from narrows.signals import canonical_bytes

HERE = Path(__file__).parent
VALID, ERRORS = sorted(make_container.VALID), sorted(make_container.ERRORS)


def stored(folder: str, name: str) -> tuple[bytes, dict[str, Any]]:
    """A golden file and what is expected of it; a missing one fails."""
    path = HERE / folder / name
    return path.with_suffix(".nrws").read_bytes(), json.loads(path.with_suffix(".json").read_text())


def test_the_files_are_those_that_the_script_spells() -> None:
    spelled = make_container.files()
    found = {
        str(path.relative_to(HERE))
        for folder in ("v1", "errors")
        for path in (HERE / folder).iterdir()
        if path.is_file()
    }
    assert found == set(spelled)
    for path, data in spelled.items():
        assert (HERE / path).read_bytes() == data, path


def test_the_core_and_the_script_agree_on_the_checksum() -> None:
    for data in (b"", b"123456789", bytes(range(256)) * 3):
        assert _core.crc32c(data) == make_container.crc32c(data)


def as_header(form: dict[str, Any]) -> Header:
    return Header(
        Media[form["media"].upper()],
        form["codec"],
        form["version"],
        tuple(form["dims"]),
        bytes.fromhex(form["params"]),
        bytes.fromhex(form["model"]),
    )


def as_chunk(form: dict[str, Any]) -> Chunk:
    kind = Kind[form["kind"]]
    return Chunk(
        bytes.fromhex(form["payload"]), form["first"], form["count"], form["layer"], kind, form["track"]
    )


def as_metadata(form: dict[str, Any]) -> dict[str, Any]:
    return {name: value if name in ("tags", "note") else bytes.fromhex(value) for name, value in form.items()}


@pytest.mark.parametrize("name", VALID)
def test_reads_as_expected(name: str) -> None:
    data, expected = stored("v1", name)
    headers = [as_header(form) for form in (expected["header"], *expected.get("tracks", ()))]
    for file in (data, io.BytesIO(data), Pipe(data, 3)):
        reader = Reader(file)
        source = reader.source()
        assert list(source) == [as_chunk(c) for c in expected["chunks"] if c["track"] == 0]
        source.finish()
        assert reader.tracks == headers
        assert (reader.live, reader.indexed) == (expected["live"], expected["indexed"])
        assert reader.metadata == as_metadata(expected["metadata"])
        check = expected.get("check")
        assert reader.check == (check and (check[0], bytes.fromhex(check[1])))


@pytest.mark.parametrize("name", VALID)
def test_chunks_can_be_read_in_any_order(name: str) -> None:
    data, expected = stored("v1", name)
    reader = Reader(data)
    found = [reader.read(info) for info in reversed(reader.entries())]
    assert found[::-1] == [as_chunk(c) for c in expected["chunks"]]
    for track in range(len(reader.tracks)):
        assert list(reader.source(track)) == [as_chunk(c) for c in expected["chunks"] if c["track"] == track]


@pytest.mark.parametrize("name", VALID)
def test_writes_the_same_bytes(name: str) -> None:
    data, expected = stored("v1", name)
    if name == "unknown-ancillary":
        pytest.skip("the writer writes nothing unknown")
    out = io.BytesIO()
    writer = Writer(out, as_header(expected["header"]), live=expected["live"], indexed=expected["indexed"])
    for track in expected.get("tracks", ()):
        writer.add_track(as_header(track))
    metadata = [chunk for chunk in Reader(data).scan() if chunk.kind >= 0x80 and chunk.kind != Kind.INDEX]
    coded = iter(expected["chunks"])
    for info in Reader(data).scan():
        if info in metadata:
            writer.metadata(info.kind, data[info.end - 4 - info.length : info.end - 4])
        elif info.kind in (Kind.DATA, Kind.PART, Kind.TABLE):
            writer.write(as_chunk(next(coded)))
    writer.finish()
    assert out.getvalue() == data


@pytest.mark.parametrize("name", [name for name in VALID if "decoded" in make_container.VALID[name][1]])
def test_decodes_to_the_expected_samples(name: str) -> None:
    data, expected = stored("v1", name)
    samples = canonical_bytes(narrows.decode(data))
    assert samples.nbytes == expected["decoded"]["size"]
    assert make_container.crc32c(bytes(samples)).to_bytes(4, "little").hex() == expected["decoded"]["crc32c"]


def read_all(file: Any) -> None:
    """What decoding does, without a codec: every rule of the container and the limits."""
    reader = Reader(file)
    check_limits(reader.header, narrows.Limits())
    source = reader.source()
    for _ in source:
        pass
    source.finish()


NEED_A_CODEC = {"check-differs", "codec-unknown", "model-missing"}
HAVE_NO_CODEC = {"pixels-above-limit", "samples-above-limit", "layers-decrease"}


@pytest.mark.parametrize("name", ERRORS)
def test_raises_as_expected(name: str) -> None:
    data, expected = stored("errors", name)
    how = []
    if name not in HAVE_NO_CODEC:
        how += [lambda: narrows.decode(data), lambda: narrows.decode(Pipe(data, 5))]
    if name not in NEED_A_CODEC:
        how += [lambda: read_all(data), lambda: read_all(Pipe(data, 5))]
    for attempt in how:
        with pytest.raises(narrows.NarrowsError) as caught:
            attempt()
        assert type(caught.value).__name__ == expected["exception"], caught.value
        assert getattr(caught.value, "offset", None) == expected["offset"], caught.value
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name in ERRORS if name.startswith("index-")])
def test_an_index_that_lies_leads_nowhere(name: str) -> None:
    """Seeking trusts nothing either: the lie is refused, or never met because the way to it is cut."""
    data, _ = stored("errors", name)

    def seek_and_finish() -> None:
        reader = Reader(data)
        for info in reader.entries():
            reader.read(info)
        reader.source().finish()

    with pytest.raises(narrows.CorruptStream):
        seek_and_finish()


def test_hello_is_the_example_of_the_specification() -> None:
    assert narrows.encode(b"hello", codec="bytes") == stored("v1", "hello")[0]
