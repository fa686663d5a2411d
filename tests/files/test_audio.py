"""Sound files that are damaged, too large or not for us (files/audio.py)."""

import io

import numpy as np
import pytest

import narrows
from narrows import files
from narrows.errors import LimitExceeded, OptionError, SignalError
from narrows.limits import Limits
from narrows.signals import Audio


def wav(samples=1000):
    file = io.BytesIO()
    files.write(Audio(np.zeros((samples, 2), np.int16), 48_000), file)
    return file.getvalue()


def test_limits_come_before_the_samples():
    with pytest.raises(LimitExceeded) as caught:
        files.read(io.BytesIO(wav()), limits=Limits(max_samples=1999))
    assert caught.value.value == 2000


def test_what_is_no_sound_is_refused():
    for data in (b"RIFF\0\0\0\0WAVE", b"ID3 but nothing else", b"fLaC" + bytes(60)):
        with pytest.raises(SignalError):
            files.read(io.BytesIO(data))
    with pytest.raises(SignalError, match="is empty"):
        files.read(io.BytesIO(b""), as_medium="audio")
    with pytest.raises(OptionError, match="known: image, audio, bytes"):
        files.read(io.BytesIO(b""), as_medium="smell")


def test_unknown_extensions_are_refused():
    with pytest.raises(SignalError, match=r"known: \.wav"):
        files.write(Audio(np.zeros((1, 1), np.int16), 8000), io.BytesIO(), extension=".xyz")


@pytest.mark.parametrize("extension", [".wav", ".flac", ".ogg", ".mp3"])
def test_tags_go_from_file_to_file(extension, tmp_path):
    soundfile = pytest.importorskip("soundfile")
    tags = {"title": "Überfahrt", "artist": "Somebody", "date": "2026", "comment": "a comment"}
    source, coded, back = tmp_path / f"a{extension}", tmp_path / "a.nrws", tmp_path / f"b{extension}"
    kind = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG", ".mp3": "MP3"}[extension]
    with soundfile.SoundFile(source, "w", 48_000, 2, format=kind) as file:
        for name, text in tags.items():
            setattr(file, name, text)
        file.write(np.zeros((4800, 2), np.int16))
    narrows.encode_file(source, coded)
    assert narrows.info(coded).metadata["tags"] > 0
    with narrows.open(coded) as stream:
        assert stream.read().meta["tags"] == tags
        assert stream.read(start=0.01, stop=0.02).meta["tags"] == tags
    narrows.decode_file(coded, back)
    with soundfile.SoundFile(back) as file:
        assert {name: text for name, text in file.copy_metadata().items() if text} == tags
    narrows.encode_file(source, coded, strip=True, force=True)
    with narrows.open(coded) as stream:
        assert "tags" not in stream.read().meta


def test_tags_that_files_have_no_names_for_are_left_out():
    file = io.BytesIO()
    tags = {"title": ["one", "two"], "mood": "calm"}
    files.write(Audio(np.zeros((100, 1), np.int16), 48_000, {"tags": tags}), file, extension=".flac")
    assert files.read(io.BytesIO(file.getvalue())).meta["tags"] == {"title": "one; two"}
