"""Output appears whole or not at all (files/output.py)."""

import os
import stat

import numpy as np
import pytest

from narrows import files
from narrows.files import atomic
from narrows.signals import Audio, Blob


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_name_appears_only_when_all_is_written(tmp_path):
    with atomic(tmp_path / "a.bin") as file:
        file.write(b"half")
        assert len(names(tmp_path)) == 1
        assert names(tmp_path)[0].startswith(".a.bin.")
        assert names(tmp_path)[0].endswith(".part")
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit, MemoryError])
def test_a_failure_leaves_what_was_there(tmp_path, failure):
    (tmp_path / "a.bin").write_bytes(b"old")

    def write_and_fail():
        with atomic(tmp_path / "a.bin", force=True) as file:
            file.write(b"new")
            raise failure

    with pytest.raises(failure):
        write_and_fail()
    assert names(tmp_path) == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"old"


def test_an_existing_file_needs_force(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"old")
    with pytest.raises(FileExistsError), atomic(tmp_path / "a.bin"):
        raise AssertionError("the block must not run")
    with atomic(tmp_path / "a.bin", force=True) as file:
        file.write(b"new")
    assert (tmp_path / "a.bin").read_bytes() == b"new"


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path):
    def write_while_another_does():
        with atomic(tmp_path / "a.bin") as file:
            file.write(b"ours")
            (tmp_path / "a.bin").write_bytes(b"theirs")

    with pytest.raises(FileExistsError):
        write_while_another_does()
    assert (tmp_path / "a.bin").read_bytes() == b"theirs"
    assert names(tmp_path) == ["a.bin"]


def test_permissions_are_the_usual_or_the_old_ones(tmp_path):
    old = os.umask(0o027)
    try:
        with atomic(tmp_path / "new"):
            pass
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    (tmp_path / "new").chmod(0o604)
    with atomic(tmp_path / "new", force=True):
        pass
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o604


def test_links_are_followed_and_devices_written_to(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    with atomic(tmp_path / "link", force=True) as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"
    with atomic("/dev/null") as file:
        file.write(b"gone")
    assert names(tmp_path) == ["link", "real"]


def test_errors_name_the_output_and_not_the_part(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, atomic(tmp_path / "no" / "a"):
        pass
    assert caught.value.filename == str(tmp_path / "no" / "a")
    with pytest.raises(IsADirectoryError), atomic(tmp_path):
        pass


def test_long_names_fit(tmp_path):
    with atomic(tmp_path / ("n" * 255)) as file:
        file.write(b"x")
    assert names(tmp_path) == ["n" * 255]


def test_reading_and_writing_choose_by_content_and_extension(tmp_path):
    files.write(Blob(b"plain"), tmp_path / "a.png")
    assert files.read(tmp_path / "a.png").data == b"plain"
    for samples in (
        np.arange(-50, 50, dtype=np.int16)[:, None],
        np.linspace(-1, 0.5, 100, dtype=np.float32)[:, None],
    ):
        for extension in ("wav", "flac"):
            path = tmp_path / f"{samples.dtype}.{extension}"
            files.write(Audio(samples, 8_000), path)
            sound = files.read(path)
            assert isinstance(sound, Audio)
            assert sound.sample_rate_hz == 8_000
            assert sound.samples.dtype == samples.dtype
            assert np.abs(sound.samples.astype(float) - samples).max() <= (
                2**-23 if samples.dtype == np.float32 else 0
            )
    assert isinstance(files.read(path, as_medium="bytes"), Blob)
