"""What a signal refuses, and that its tensors come back unchanged."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from conformance.cases import signals_for

import narrows
from narrows.signals import Audio, Blob, Formulas, Image, Tokens, Vectors, Video, canonical_bytes, equal

U8, U16, F32, I16 = np.uint8, np.uint16, np.float32, np.int16


def f32(*values: float) -> Any:
    return np.array(values, F32)


REFUSED: dict[str, Any] = {
    "image of floats": lambda: Image(np.zeros((2, 2, 3), F32)),
    "image as a list": lambda: Image([[1, 2]]),  # type: ignore[arg-type]
    "image of rank 1": lambda: Image(np.zeros(4, U8)),
    "image of rank 4": lambda: Image(np.zeros((1, 2, 2, 3), U8)),
    "image of 5 channels": lambda: Image(np.zeros((2, 2, 5), U8)),
    "image without rows": lambda: Image(np.zeros((0, 2, 3), U8)),
    "image without columns": lambda: Image(np.zeros((2, 0, 3), U8)),
    "image of 17 bits": lambda: Image(np.zeros((2, 2, 3), U16), 17),
    "uint8 of 9 bits": lambda: Image(np.zeros((2, 2, 3), U8), 9),
    "uint16 of 8 bits": lambda: Image(np.zeros((2, 2, 3), U16), 8),
    "sample above the peak": lambda: Image(np.full((2, 2, 1), 1024, U16), 10),
    "unknown color": lambda: Image(np.zeros((2, 2, 3), U8), color="cmyk"),
    "audio of float64": lambda: Audio(np.zeros(4), 8000),
    "audio above 1": lambda: Audio(f32(1.5), 8000),
    "audio of NaN": lambda: Audio(f32(0, np.nan), 8000),
    "audio of infinity": lambda: Audio(f32(np.inf), 8000),
    "audio of rank 3": lambda: Audio(np.zeros((1, 2, 3), F32), 8000),
    "audio of rate 0": lambda: Audio(f32(0), 0),
    "audio of a fractional rate": lambda: Audio(f32(0), 8000.5),  # type: ignore[arg-type]
    "video of rate 0": lambda: Video([], 0),  # type: ignore[arg-type]
    "video of no rate": lambda: Video([], "fast"),  # type: ignore[arg-type]
    "blob of text": lambda: Blob("text"),  # type: ignore[arg-type]
    "tokens of int32": lambda: Tokens(np.zeros(3, np.int32), 5),
    "token above the vocabulary": lambda: Tokens(np.array([5]), 5),
    "token below 0": lambda: Tokens(np.array([-1]), 5),
    "vectors of NaN": lambda: Vectors(np.full((1, 2), np.nan, F32)),
    "vectors of infinity": lambda: Vectors(np.full((1, 2), np.inf, F32)),
    "vectors of rank 1": lambda: Vectors(f32(1)),
    "formula of two parts": lambda: Formulas((("a", "b"),)),  # type: ignore[arg-type]
    "formula with a 0 byte": lambda: Formulas((("a", "b", "c\0"),)),
}


@pytest.mark.parametrize("make", REFUSED.values(), ids=list(REFUSED))
def test_what_is_no_signal_is_refused(make: Any) -> None:
    with pytest.raises(narrows.SignalError) as caught:
        make()
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)


def test_rank_2_pictures_and_rank_1_sounds_are_one_channel() -> None:
    assert Image(np.zeros((2, 3), U8)).pixels.shape == (2, 3, 1)
    assert Audio(np.zeros(5, I16), 8000).samples.shape == (5, 1)


def test_arrays_are_kept_and_not_copied() -> None:
    pixels = np.zeros((4, 5, 3), U8)
    assert Image(pixels).pixels is pixels


def test_signals_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Image(np.zeros((1, 1, 3), U8)).bit_depth = 3  # type: ignore[misc]


def test_video_frames_are_checked_as_they_come() -> None:
    good, bad = np.zeros((2, 3, 3), U8), np.zeros((3, 2, 3), U8)
    frames = iter(Video([good, bad], Fraction(30_000, 1001)).checked())
    assert next(frames) is good
    with pytest.raises(narrows.SignalError, match="frame 1"):
        next(frames)
    assert Video([], 29.97).frame_rate == Fraction(2997, 100)  # type: ignore[arg-type]


def test_equal_sees_every_difference() -> None:
    picture = Image(np.zeros((2, 2, 3), U8))
    others = [
        Image(np.ones((2, 2, 3), U8)),
        Image(np.zeros((2, 2, 3), U8), 7),
        Image(np.zeros((2, 2, 3), U16)),
        Image(np.zeros((2, 2, 3), U8), color="linear"),
        Image(np.zeros((2, 2, 4), U8)),
        Blob(bytes(12)),
    ]
    assert equal(picture, Image(np.zeros((2, 2, 3), U8), meta={"icc": b"x"}))
    assert not any(equal(picture, other) for other in others)
    assert not equal(Audio(f32(0), 8000), Audio(f32(0), 8001))
    assert not equal(Tokens(np.array([1]), 5), Tokens(np.array([1]), 6))
    frames = [np.zeros((2, 2, 3), U8)]
    assert equal(Video(frames, 25), Video(list(frames), 25))  # type: ignore[arg-type]
    assert not equal(Video(frames, 25), Video(frames * 2, 25))  # type: ignore[arg-type]


def test_canonical_form_is_little_endian_and_channels_last() -> None:
    pixels = np.array([[[1, 2], [3, 4]]], U16).astype(">u2")
    assert bytes(canonical_bytes(Image(pixels.astype(U16)[:, ::-1]))) == bytes([3, 0, 4, 0, 1, 0, 2, 0])
    assert bytes(canonical_bytes(Audio(f32(-1, 0.5), 8000))) == bytes([0, 0, 0x80, 0xFF, 0, 0, 0x40, 0])
    assert bytes(canonical_bytes(Formulas((("s", "A1", "=1"),)))) == b"s\0A1\0=1\0"


@pytest.mark.parametrize("kind", [Image, Audio, Tokens, Vectors, Video])
def test_tensors_come_back_unchanged(kind: type) -> None:
    torch = pytest.importorskip("torch")
    for signal in signals_for(kind).values():
        tensor = narrows.to_tensor(signal)
        assert isinstance(tensor, torch.Tensor)
        assert equal(narrows.from_tensor(tensor, signal), signal)


def test_tensors_inside_signals_become_arrays() -> None:
    torch = pytest.importorskip("torch")
    assert equal(Image(torch.ones(2, 2, 3, dtype=torch.uint8)), Image(np.ones((2, 2, 3), U8)))
