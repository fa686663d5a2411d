"""Sound files that are damaged, too large or not for us (files/audio.py)."""

import io

import numpy as np
import pytest

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
