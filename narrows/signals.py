"""Signals: values with their meaning. Frozen, checked when made, never written to.

One rule for layout: signals are channels last, as files give them; tensors inside networks are channels
first with a batch. Only `to_tensor` and `from_tensor` cross. Arrays are C-contiguous: others are copied.
`meta` may hold `icc`, `exif`, `xmp` (bytes) and `tags` (str to str or list of str); codecs do not look at it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from narrows.errors import SignalError

if TYPE_CHECKING:
    from torch import Tensor

Array: TypeAlias = NDArray[Any]
Meta: TypeAlias = Mapping[str, Any]

COLORS = ("icc", "srgb", "linear")


def _array(values: object, what: str) -> Array:
    """`values` as a C-contiguous NumPy array: itself where it is one, a CPU tensor's memory, else a copy."""
    if isinstance(values, np.ndarray):
        return np.ascontiguousarray(values) if values.ndim else values
    detach = getattr(values, "detach", None)
    if detach is not None:
        return np.ascontiguousarray(detach().cpu().numpy())
    raise SignalError(f"{what} must be an array, not {type(values).__name__}")


def _check_count(name: str, value: object, least: int = 1) -> None:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
        raise SignalError(f"{name} must be an integer of at least {least}, not {value!r}")


@dataclass(frozen=True, eq=False)
class Image:
    """A picture: uint8 or uint16 [height, width, 1 to 4 channels], the last of 2 or 4 being straight alpha.

    `bit_depth` 1 to 16 defaults to the dtype's; up to 8 is uint8, above is uint16, and every sample is below
    2**bit_depth. `color` is "srgb", "linear", or "icc" (see the profile in `meta`). [height, width] is taken
    as one channel.

    >>> import narrows, numpy
    >>> image = narrows.Image(numpy.zeros((2, 3, 3), numpy.uint8))
    >>> image.width, image.height, image.channels, image.peak
    (3, 2, 3, 255)
    """

    pixels: Array
    bit_depth: int = 0
    color: str = "srgb"
    meta: Meta = field(default_factory=dict)

    def __post_init__(self) -> None:
        pixels = _array(self.pixels, "pixels")
        if pixels.dtype not in (np.uint8, np.uint16):
            raise SignalError(f"pixels must be uint8 or uint16, not {pixels.dtype}")
        if pixels.ndim == 2:
            pixels = pixels[:, :, np.newaxis]
        if pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 4:
            raise SignalError(f"pixels must be [height, width, 1 to 4 channels], not {list(pixels.shape)}")
        if pixels.size == 0:
            raise SignalError(f"an image has at least one pixel, not {list(pixels.shape)}")
        depth = self.bit_depth or 8 * pixels.dtype.itemsize
        _check_count("bit_depth", depth)
        if (depth <= 8) != (pixels.dtype == np.uint8) or depth > 16:
            raise SignalError(
                f"bit depth {depth} does not go with {pixels.dtype}: uint8 holds 1 to 8, uint16 9 to 16"
            )
        if depth not in (8, 16) and int(pixels.max()) >> depth:
            raise SignalError(f"pixels reach {int(pixels.max())}, above the peak of bit depth {depth}")
        if self.color not in COLORS:
            raise SignalError(f"color must be one of {', '.join(COLORS)}, not {self.color!r}")
        object.__setattr__(self, "pixels", pixels)
        object.__setattr__(self, "bit_depth", int(depth))

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.pixels.shape[1])

    @property
    def channels(self) -> int:
        """1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha."""
        return int(self.pixels.shape[2])

    @property
    def peak(self) -> int:
        """The largest value a sample can have."""
        return (1 << self.bit_depth) - 1


@dataclass(frozen=True, eq=False)
class Audio:
    """Sound: float32 in [-1, 1] or int16, [time, channels]. [time] is taken as one channel.

    >>> import narrows, numpy
    >>> sound = narrows.Audio(numpy.zeros(8_000, numpy.float32), 16_000)
    >>> sound.num_samples, sound.channels, sound.duration_s
    (8000, 1, 0.5)
    """

    samples: Array
    sample_rate_hz: int
    meta: Meta = field(default_factory=dict)

    def __post_init__(self) -> None:
        samples = _array(self.samples, "samples")
        if samples.dtype not in (np.float32, np.int16):
            raise SignalError(f"samples must be float32 or int16, not {samples.dtype}")
        if samples.ndim == 1:
            samples = samples[:, np.newaxis]
        if samples.ndim != 2 or not 1 <= samples.shape[1] <= 255:
            raise SignalError(f"samples must be [time, 1 to 255 channels], not {list(samples.shape)}")
        if samples.dtype == np.float32 and samples.size:
            low, high = float(samples.min()), float(samples.max())
            if not (low >= -1 and high <= 1):
                raise SignalError(f"samples must lie in [-1, 1], not [{low:g}, {high:g}]")
        _check_count("sample_rate_hz", self.sample_rate_hz)
        object.__setattr__(self, "samples", samples)
        object.__setattr__(self, "sample_rate_hz", int(self.sample_rate_hz))

    @property
    def num_samples(self) -> int:
        """Samples of one channel."""
        return int(self.samples.shape[0])

    @property
    def channels(self) -> int:
        """Channels."""
        return int(self.samples.shape[1])

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.num_samples / self.sample_rate_hz


@dataclass(frozen=True, eq=False)
class Video:
    """Pictures in time: an iterable of uint8 [height, width, 3], perhaps endless, `frame_rate` a second.

    `times` are the frames' own times in seconds where the rate is not constant. Frames are checked as they
    are taken: by `checked`.

    >>> import narrows, numpy
    >>> video = narrows.Video([numpy.zeros((4, 4, 3), numpy.uint8)], 25)
    >>> video.frame_rate, sum(1 for frame in video.checked())
    (Fraction(25, 1), 1)
    """

    frames: Iterable[Array]
    frame_rate: Fraction
    times: Sequence[float] | None = None
    meta: Meta = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            rate = Fraction(self.frame_rate)
        except (TypeError, ValueError, OverflowError):
            raise SignalError(f"frame_rate must be a number, not {self.frame_rate!r}") from None
        if isinstance(self.frame_rate, float):
            rate = rate.limit_denominator(1001)
        if rate <= 0:
            raise SignalError(f"frame_rate must be above 0, not {self.frame_rate}")
        object.__setattr__(self, "frame_rate", rate)

    def checked(self) -> Iterable[Array]:
        """The frames, each refused with SignalError unless it is uint8 [height, width, 3] like the first."""
        shape: tuple[int, ...] | None = None
        for number, item in enumerate(self.frames):
            frame = _array(item, f"frame {number}")
            if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.size == 0:
                raise SignalError(
                    f"frame {number} must be uint8 [height, width, 3], not {frame.dtype} {list(frame.shape)}"
                )
            if shape not in (None, frame.shape):
                raise SignalError(f"frame {number} is {list(frame.shape)}, the first is {list(shape or ())}")
            shape = frame.shape
            yield frame


@dataclass(frozen=True, eq=False)
class Blob:
    """Bytes that mean nothing to us: any file.

    >>> import narrows
    >>> narrows.Blob(b"any file").data
    b'any file'
    """

    data: bytes
    meta: Meta = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.data, (bytes, bytearray, memoryview)):
            raise SignalError(f"data must be bytes, not {type(self.data).__name__}")
        object.__setattr__(self, "data", bytes(self.data))


@dataclass(frozen=True, eq=False)
class Tokens:
    """Ids of a tokenizer: int64 [num_codebooks, time], each in [0, vocab_size). [time] is one codebook.

    >>> import narrows, numpy
    >>> narrows.Tokens(numpy.arange(5), vocab_size=5).ids.shape
    (1, 5)
    """

    ids: Array
    vocab_size: int
    meta: Meta = field(default_factory=dict)

    def __post_init__(self) -> None:
        ids = _array(self.ids, "ids")
        if ids.dtype != np.int64:
            raise SignalError(f"ids must be int64, not {ids.dtype}")
        if ids.ndim == 1:
            ids = ids[np.newaxis, :]
        if ids.ndim != 2 or ids.shape[0] < 1:
            raise SignalError(f"ids must be [num_codebooks, time], not {list(ids.shape)}")
        _check_count("vocab_size", self.vocab_size)
        if ids.size and not (int(ids.min()) >= 0 and int(ids.max()) < self.vocab_size):
            raise SignalError(f"ids must lie in [0, {self.vocab_size}), not [{ids.min()}, {ids.max()}]")
        object.__setattr__(self, "ids", ids)
        object.__setattr__(self, "vocab_size", int(self.vocab_size))


@dataclass(frozen=True, eq=False)
class Vectors:
    """Embeddings: finite float32 [n, d].

    >>> import narrows, numpy
    >>> narrows.Vectors(numpy.ones((10, 3), numpy.float32)).values.shape
    (10, 3)
    """

    values: Array
    meta: Meta = field(default_factory=dict)

    def __post_init__(self) -> None:
        values = _array(self.values, "values")
        if values.dtype != np.float32:
            raise SignalError(f"values must be float32, not {values.dtype}")
        if values.ndim != 2 or values.shape[1] < 1:
            raise SignalError(f"values must be [n, d], not {list(values.shape)}")
        if not np.isfinite(values).all():
            raise SignalError("values must be finite")
        object.__setattr__(self, "values", values)


@dataclass(frozen=True, eq=False)
class Formulas:
    """Cells of a workbook: (sheet, cell, text) each.

    >>> import narrows
    >>> narrows.Formulas([("Sheet1", "A4", "=SUM(A1:A3)")]).cells[0][2]
    '=SUM(A1:A3)'
    """

    cells: tuple[tuple[str, str, str], ...]
    meta: Meta = field(default_factory=dict)

    def __post_init__(self) -> None:
        cells = tuple(tuple(cell) for cell in self.cells)
        for number, cell in enumerate(cells):
            if len(cell) != 3 or not all(isinstance(part, str) and "\0" not in part for part in cell):
                raise SignalError(f"cell {number} must be (sheet, cell, text) without 0 bytes, not {cell!r}")
        object.__setattr__(self, "cells", cells)


Signal: TypeAlias = Image | Audio | Video | Blob | Tokens | Vectors | Formulas


def equal(a: Signal, b: Signal) -> bool:
    """Whether two signals have the same type, shape, properties and samples. `meta` is not compared.

    >>> import narrows
    >>> narrows.equal(narrows.Blob(b"a"), narrows.Blob(b"a"))
    True
    """

    def same(x: Array, y: Array) -> bool:
        return x.dtype == y.dtype and np.array_equal(x, y)

    match a, b:
        case Image(), Image():
            return same(a.pixels, b.pixels) and (a.bit_depth, a.color) == (b.bit_depth, b.color)
        case Audio(), Audio():
            return same(a.samples, b.samples) and a.sample_rate_hz == b.sample_rate_hz
        case Video(), Video():
            pairs = zip(a.frames, b.frames, strict=True)
            try:
                return a.frame_rate == b.frame_rate and all(same(x, y) for x, y in pairs)
            except ValueError:
                return False
        case Blob(), Blob():
            return a.data == b.data
        case Tokens(), Tokens():
            return same(a.ids, b.ids) and a.vocab_size == b.vocab_size
        case Vectors(), Vectors():
            return same(a.values, b.values)
        case Formulas(), Formulas():
            return a.cells == b.cells
    return False


def to_tensor(signal: Signal) -> Tensor:
    """The tensor a network takes: [batch, channels, ...], float32 for samples, int64 for ids.

    Image [1, channels, height, width] in [0, 1]; Audio [1, channels, time] in [-1, 1]; Video [1, 3, frames,
    height, width] in [0, 1]; Tokens [1, num_codebooks, time]; Vectors [n, d]. SignalError for the others.
    """
    import torch

    match signal:
        case Image():
            values = np.moveaxis(signal.pixels, 2, 0)[np.newaxis].astype(np.float32)
            return torch.from_numpy(np.ascontiguousarray(values)).div_(signal.peak)
        case Audio():
            scale = 1 / 32768 if signal.samples.dtype == np.int16 else 1
            return (
                torch.from_numpy(np.ascontiguousarray(signal.samples.T[np.newaxis].astype(np.float32)))
                * scale
            )
        case Video():
            frames = np.stack(list(signal.checked()))
            values = np.moveaxis(frames, 3, 0)[np.newaxis].astype(np.float32)
            return torch.from_numpy(np.ascontiguousarray(values)).div_(255)
        case Tokens():
            return torch.from_numpy(np.array(signal.ids[np.newaxis]))
        case Vectors():
            return torch.from_numpy(np.array(signal.values))
    raise SignalError(f"a {type(signal).__name__} has no tensor form")


def from_tensor(tensor: Tensor, like: Signal) -> Signal:
    """The inverse of `to_tensor`: samples from `tensor` (batch of 1), depth, rate and meta from `like`.

    Values are clipped to the signal's range and rounded to nearest, ties to even.
    """
    values = tensor.detach().cpu().numpy()
    match like:
        case Image():
            pixels = np.moveaxis(values[0], 0, 2) * np.float32(like.peak)
            return Image(
                _rounded(pixels, 0, like.peak, like.pixels.dtype), like.bit_depth, like.color, like.meta
            )
        case Audio():
            if like.samples.dtype == np.int16:
                samples = _rounded(values[0].T * np.float32(32768), -32768, 32767, np.dtype(np.int16))
            else:
                samples = np.ascontiguousarray(values[0].T.clip(-1, 1), dtype=np.float32)
            return Audio(samples, like.sample_rate_hz, like.meta)
        case Video():
            frames = _rounded(np.moveaxis(values[0], 0, 3) * np.float32(255), 0, 255, np.dtype(np.uint8))
            return Video(list(frames), like.frame_rate, like.times, like.meta)
        case Tokens():
            return Tokens(np.ascontiguousarray(values[0], dtype=np.int64), like.vocab_size, like.meta)
        case Vectors():
            return Vectors(np.ascontiguousarray(values, dtype=np.float32), like.meta)
    raise SignalError(f"a {type(like).__name__} has no tensor form")


def _rounded(values: Array, low: int, high: int, dtype: np.dtype[Any]) -> Array:
    if np.isnan(values).any():
        raise SignalError("the tensor has NaN in it")
    return np.ascontiguousarray(np.rint(values).clip(low, high).astype(dtype))


def canonical_bytes(signal: Signal) -> memoryview:
    """The samples as CHECK digests them: C order, channels last, little endian.

    Images uint8 up to 8 bits a sample, else uint16; int16 as it is, float32 audio as the int32 of 24-bit
    integers (x 2**23); ids int64; values float32; formulas as UTF-8 fields each ended by a 0 byte.
    """
    match signal:
        case Image():
            samples = signal.pixels
        case Audio():
            samples = signal.samples
            if samples.dtype == np.float32:
                samples = np.rint(samples.astype(np.float64) * 2**23).astype(np.int32)
        case Tokens():
            samples = signal.ids
        case Vectors():
            samples = signal.values
        case Blob():
            return memoryview(signal.data)
        case Formulas():
            return memoryview("".join(part + "\0" for cell in signal.cells for part in cell).encode())
        case _:
            raise SignalError(f"a {type(signal).__name__} has no canonical form")
    flat = np.ascontiguousarray(samples, dtype=samples.dtype.newbyteorder("<")).reshape(-1)
    return flat.view(np.uint8).data
