"""The public functions between files, signals and streams."""

from __future__ import annotations

import io
import os
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conformance.streams import Pipe

import narrows
from narrows.container import Writer
from narrows.contracts import Chunk, Header, Media

TEXT = b"It was the best of times, it was the worst of times. " * 200


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "a.txt"
    path.write_bytes(TEXT)
    return path


def test_a_file_comes_back_and_nothing_else_is_left(text: Path) -> None:
    coded, back = text.with_suffix(".nrws"), text.with_suffix(".back")
    info = narrows.encode_file(text, coded)
    assert (info.codec, info.num_bytes) == ("bytes", coded.stat().st_size)
    assert narrows.decode_file(coded, back) == []
    assert back.read_bytes() == TEXT
    assert sorted(path.name for path in text.parent.iterdir()) == ["a.back", "a.nrws", "a.txt"]


def test_nothing_is_overwritten_without_force(text: Path) -> None:
    coded = text.with_suffix(".nrws")
    coded.write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        narrows.encode_file(text, coded)
    assert coded.read_bytes() == b"precious"
    narrows.encode_file(text, coded, force=True)
    with pytest.raises(FileExistsError):
        narrows.decode_file(coded, text)


def test_a_failure_leaves_the_target_as_it_was(text: Path) -> None:
    coded, back = text.with_suffix(".nrws"), text.with_suffix(".back")
    coded.write_bytes(narrows.encode(TEXT, "bytes:block_bytes=1024")[:-30])
    back.write_bytes(b"precious")
    with pytest.raises(narrows.TruncatedStream):
        narrows.decode_file(coded, back, force=True)
    assert back.read_bytes() == b"precious"
    with pytest.raises(narrows.OptionError):
        narrows.encode_file(text, back, force=True, zoom=1)
    assert back.read_bytes() == b"precious"
    assert len(list(text.parent.iterdir())) == 3


def test_input_and_output_must_differ(text: Path) -> None:
    link = text.with_name("link")
    link.symlink_to(text)
    for target in (text, link):
        with pytest.raises(narrows.OptionError, match="both input and output"):
            narrows.encode_file(text, target, force=True)
    assert text.read_bytes() == TEXT


def test_file_objects_and_pipes_serve_as_files() -> None:
    coded, back = io.BytesIO(), io.BytesIO()
    narrows.encode_file(Pipe(TEXT), coded)
    narrows.decode_file(Pipe(coded.getvalue()), back)
    assert back.getvalue() == TEXT


def test_a_medium_without_a_codec_is_stored_as_bytes(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(800, np.float32), 8_000)
    info = narrows.encode_file(path, tmp_path / "a.nrws")
    if info.codec == "bytes":
        narrows.decode_file(tmp_path / "a.nrws", tmp_path / "b.wav")
        assert (tmp_path / "b.wav").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", ["missing", "."])
def test_errors_of_the_system_pass_through(tmp_path: Path, name: str) -> None:
    for call in (narrows.open, narrows.info, narrows.verify):
        with pytest.raises(OSError):
            call(tmp_path / name)
    with pytest.raises(OSError):
        narrows.encode_file(tmp_path / name, tmp_path / "out")


@pytest.mark.parametrize("value", ["photo.png", Path("photo.png")])
def test_a_path_is_not_taken_for_content(value: Any) -> None:
    with pytest.raises(narrows.SignalError, match="encode_file"):
        narrows.encode(value)
    with pytest.raises(narrows.SignalError, match="decode_file"):
        narrows.decode(value)


@pytest.mark.parametrize("value", [None, 3, [1, 2], np.zeros(4), np.zeros((2, 2)), np.zeros(3, np.uint8)])
def test_what_could_mean_several_things_must_be_wrapped(value: Any) -> None:
    with pytest.raises(narrows.SignalError):
        narrows.encode(value)


def test_verify_says_what_is_wrong_and_how_far() -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    stream = narrows.encode(narrows.Image(pixels), "wave:lossless")
    assert narrows.verify(stream, narrows.Image(pixels)).max_difference == 0
    off = narrows.verify(stream, narrows.Image(pixels + np.uint8(2)))
    assert (off.ok, off.max_difference) == (False, 2)
    other = narrows.verify(stream, narrows.Image(pixels[:2]))
    assert (other.ok, other.max_difference) == (False, None)
    cut = narrows.verify(stream[:-1])
    assert not cut.ok
    assert "ends early" in cut.problems[0]


def test_verify_compares_with_a_file(text: Path) -> None:
    stream = narrows.encode(TEXT)
    assert narrows.verify(stream, text).ok
    text.write_bytes(TEXT[:-1])
    assert not narrows.verify(stream, text).ok


def live() -> bytes:
    out = io.BytesIO()
    writer = Writer(out, Header(Media.BYTES, "bytes", 1, (0,)), live=True)
    for number in range(5):
        writer.write(Chunk(b"\0abc", 3 * number, 3))
    writer.finish()
    return out.getvalue()


def test_a_live_stream_is_decoded_whole_in_parts_and_in_blocks() -> None:
    for file in (live(), Pipe(live())):
        assert narrows.decode(file).data == b"abc" * 5
    for file in (live(), Pipe(live())):
        assert [block.data for block in narrows.open(file)] == [b"abc"] * 5
    assert narrows.open(live()).read(start=4, stop=8).data == b"bcab"
    with pytest.raises(narrows.TruncatedStream):
        narrows.decode(live()[:-3])
    assert narrows.decode(live()[:-3], partial=True).data == b"abc" * 5


def test_a_large_file_is_decoded_block_by_block(tmp_path: Path) -> None:
    """A block at a time is in memory: here 64 MiB pass through far less."""
    path = tmp_path / "zeros.nrws"
    size, block = 1 << 26, 1 << 20
    with path.open("wb") as file:
        writer = Writer(file, Header(Media.BYTES, "bytes", 1, (size,)))
        for first in range(0, size, block):
            writer.write(Chunk(b"\0" + bytes(block), first, block))
        writer.finish()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    narrows.decode_file(path, tmp_path / "zeros", limits=narrows.Limits(max_output_bytes=1 << 22))
    assert (tmp_path / "zeros").stat().st_size == size
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 << 10
    with pytest.raises(narrows.LimitExceeded):
        narrows.decode(path.read_bytes(), limits=narrows.Limits(max_output_bytes=1 << 22))


def test_a_preset_has_its_options_and_takes_no_more() -> None:
    preset = narrows.codec("bytes:block_bytes=2048")
    assert str(preset) == "bytes:block_bytes=2048"
    assert preset.encode(TEXT) == narrows.encode(TEXT, "bytes", block_bytes=2048)
    with pytest.raises(narrows.OptionError, match="already"):
        narrows.encode(TEXT, preset, block_bytes=4096)
    with pytest.raises(narrows.OptionError, match="twice"):
        narrows.codec("bytes:block_bytes=2048", block_bytes=4096)


@pytest.mark.parametrize(
    "part",
    [
        {"scale": 0.3},
        {"scale": 0},
        {"scale": 2},
        {"scale": "half"},
        {"start": -1},
        {"start": 3, "stop": 2},
        {"start": 0.5},
        {"start": float("nan")},
        {"stop": float("inf")},
        {"scale": "1/0"},
        {"region": (0, 0, 1)},
        {"region": (0.0, 0.0, 1.5, 1.0)},
        {"region": "0,0,1,1"},
        {"threads": 0},
        {"threads": 2.0},
        {"region": (0, 0, 0, 1)},
        {"region": (0, 0, 1, 1), "start": 1},
        {"region": (90, 0, 1, 1)},
        {"start": 50},
        {"out": "jax"},
    ],
)
def test_parts_that_make_no_sense_are_refused(part: dict[str, Any]) -> None:
    stream = narrows.encode(np.zeros((20, 30, 3), np.uint8), "wave")
    with pytest.raises(narrows.OptionError):
        narrows.decode(stream, **part)


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", True])
def test_threads_are_a_whole_number(threads: Any) -> None:
    with pytest.raises(narrows.OptionError, match="threads"):
        narrows.encode(TEXT, threads=threads)


@pytest.mark.parametrize("value", [None, 5, ["a"], np.zeros(30, np.uint8)])
def test_what_is_no_stream_is_refused(value: Any) -> None:
    for take in (narrows.decode, narrows.open, narrows.info):
        with pytest.raises(narrows.SignalError):
            take(value)


def test_scale_and_region_are_for_pictures() -> None:
    for part in ({"scale": 0.5}, {"region": (0, 0, 1, 1)}):
        with pytest.raises(narrows.OptionError, match="pictures"):
            narrows.decode(narrows.encode(TEXT), **part)


def test_the_position_of_gps_is_told() -> None:
    exif = b"MM\0*\0\0\0\x08\0\x01\x88\x25\0\x04\0\0\0\x01\0\0\0\0\0\0\0\0"
    for block, has in (
        (exif, True),
        (exif.replace(b"\x88\x25", b"\x88\x26"), False),
        (b"MM\0*\xff\xff\xff\xff", False),
    ):
        picture = narrows.Image(np.zeros((2, 2, 3), np.uint8), meta={"exif": block})
        info = narrows.info(narrows.encode(picture))
        assert (info.has_gps, info.metadata["exif"]) == (has, len(block))


def test_tensors_come_out_laid_out_as_the_signal() -> None:
    torch = pytest.importorskip("torch")
    pixels = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    tensor = narrows.decode(narrows.encode(pixels, "wave", lossless=True), out="torch")
    assert torch.equal(tensor, torch.from_numpy(pixels))


def test_a_full_disk_is_an_error_of_the_system(text: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    with pytest.raises(OSError):
        narrows.encode_file(text, "/dev/full", force=True)
