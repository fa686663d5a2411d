"""Raw PCM and WAV that come and go through pipes, block by block: no length known, nothing to seek in."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from narrows.errors import CorruptStream, OptionError, SignalError

Samples = npt.NDArray[Any]

_WIDTHS = {"u8": 1, "s16le": 2, "s24le": 3, "s32le": 4, "f32le": 4}
_UNKNOWN_BYTES = 0xFFFFFFFF
# Writers to pipes put a length near the largest that some type holds: above this none is believed.
_LEAST_UNKNOWN_BYTES = 0x7FFF0000
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_WAV_FORMATS = {(_PCM, 8): "u8", (_PCM, 16): "s16le", (_PCM, 24): "s24le", (_PCM, 32): "s32le"}
_WAV_FORMATS |= {(_FLOAT, 32): "f32le"}
_MAX_CHUNK_BYTES = 1 << 20
# Fields of LIST INFO by the names of narrows.files.audio.TAGS.
_INFO = {
    b"INAM": "title", b"IART": "artist", b"IPRD": "album", b"ITRK": "tracknumber", b"ICRD": "date",
    b"IGNR": "genre", b"ICMT": "comment", b"ICOP": "copyright", b"ISFT": "software",
}  # fmt: skip
Tags = Mapping[str, str | list[str]]
NO_TAGS: Tags = MappingProxyType({})


class Wav(NamedTuple):
    """What the head of a WAV says: format, bytes of samples (None: unknown), tags that stand before them."""

    format: Format
    num_bytes: int | None
    tags: dict[str, str]


@dataclass(frozen=True, slots=True)
class Format:
    """What raw samples are. `spell` and `parse` write it as the command line does.

    >>> from narrows.streaming.pcm import Format
    >>> Format.parse("s16le:16000:1"), Format.parse("f32le:48000:2").spell()
    (Format(sample='s16le', sample_rate_hz=16000, channels=1), 'f32le:48000:2')
    """

    sample: str = "s16le"
    sample_rate_hz: int = 16_000
    channels: int = 1

    def __post_init__(self) -> None:
        if self.sample not in _WIDTHS:
            raise OptionError(f"samples are {', '.join(_WIDTHS)}, not {self.sample!r}")
        if not 1 <= self.sample_rate_hz <= 768_000:
            raise OptionError(f"a sample rate is 1 to 768000 Hz, not {self.sample_rate_hz}")
        if not 1 <= self.channels <= 255:
            raise OptionError(f"there are 1 to 255 channels, not {self.channels}")

    @classmethod
    def parse(cls, text: str) -> Format:
        """`s16le:16000:1`: sample format, rate, channels. OptionError."""
        try:
            sample, rate, channels = text.split(":")
            return cls(sample, int(rate), int(channels))
        except ValueError as error:
            if isinstance(error, OptionError):
                raise
            raise OptionError(
                f"raw samples are FORMAT:RATE:CHANNELS such as s16le:16000:1, not {text}"
            ) from None

    def spell(self) -> str:
        """The inverse of `parse`."""
        return f"{self.sample}:{self.sample_rate_hz}:{self.channels}"

    @property
    def frame_bytes(self) -> int:
        """Bytes of one instant."""
        return _WIDTHS[self.sample] * self.channels


def read_blocks(
    file: BinaryIO, fmt: Format, block_samples: int, num_bytes: int | None = None
) -> Iterator[Samples]:
    """Blocks of `block_samples`, the last shorter: int16 as they are, all else float32 in [-1, 1].

    They end with the file, or after `num_bytes` of it. Half a frame at the end is left out; NaN is a
    SignalError.
    """
    size = block_samples * fmt.frame_bytes
    left = size if num_bytes is None else num_bytes
    while data := _read_up_to(file, min(size, left)):
        whole = len(data) // fmt.frame_bytes * fmt.frame_bytes
        if whole:
            yield decode(data[:whole], fmt)
        if len(data) < size:
            return
        left = size if num_bytes is None else left - size


def open_wav(file: BinaryIO) -> Wav:
    """Read the head of a WAV up to its samples.

    Their length is not known where a writer to a pipe put 0 or about the largest number there; samples then
    go on to the end of the file. Raises CorruptStream for what is no WAV, SignalError for samples of another
    kind.
    """
    head = _read_up_to(file, 12)
    if head[:4] not in (b"RIFF", b"RF64") or head[8:] != b"WAVE":
        raise CorruptStream("not a WAV file: it does not begin with RIFF....WAVE", 0)
    fmt: Format | None = None
    tags: dict[str, str] = {}
    total, long_size, position = int.from_bytes(head[4:8], "little"), None, 12
    while True:
        head = _read_up_to(file, 8)
        if len(head) < 8:
            raise CorruptStream("a WAV file without samples")
        name, size = head[:4], int.from_bytes(head[4:], "little")
        if name == b"data":
            if fmt is None:
                raise CorruptStream("a WAV file whose samples come before their format")
            if size == _UNKNOWN_BYTES and long_size is not None:
                return Wav(fmt, long_size, tags)
            # No samples and more behind them is an empty sound; else the writer did not know.
            empty = size == 0 and position < total < _LEAST_UNKNOWN_BYTES
            known = empty or 0 < size < _LEAST_UNKNOWN_BYTES
            return Wav(fmt, size if known else None, tags)
        if size > _MAX_CHUNK_BYTES:
            raise CorruptStream(f"a chunk of {size:,} bytes before the samples of a WAV file")
        body = _read_up_to(file, size + size % 2)
        position += 8 + len(body)
        if name == b"fmt ":
            fmt = _wav_format(body)
        elif name == b"ds64" and len(body) >= 16:  # EBU Tech 3306: lengths above 32 bits
            long_size = int.from_bytes(body[8:16], "little")
        elif name == b"LIST":
            tags |= _tags(body)


def tags_behind(file: BinaryIO, num_bytes: int) -> dict[str, str]:
    """The tags behind the samples of a WAV that seeks; `file` stands, and is left, where samples begin."""
    begin = file.tell()
    end, at = file.seek(0, 2), begin + num_bytes + num_bytes % 2
    tags: dict[str, str] = {}
    while at + 8 <= end:
        file.seek(at)
        head = _read_up_to(file, 8)
        size = int.from_bytes(head[4:], "little")
        if head[:4] == b"LIST" and size <= _MAX_CHUNK_BYTES:
            tags |= _tags(_read_up_to(file, size))
        at += 8 + size + size % 2
    file.seek(begin)
    return tags


def is_wav(head: bytes) -> bool:
    """Whether a file that begins with `head` (12 bytes) is a WAV."""
    return head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE"


def wav_head(fmt: Format, num_bytes: int = _UNKNOWN_BYTES, tags: Tags = NO_TAGS) -> bytes:
    """The head of a WAV: 44 bytes, and the tags. Without `num_bytes` the length is a stream's: unknown."""
    kind = _FLOAT if fmt.sample == "f32le" else _PCM
    bits = 8 * _WIDTHS[fmt.sample]
    info = _info(tags)
    total = min(num_bytes + num_bytes % 2 + 36 + len(info), _UNKNOWN_BYTES)  # padding counts
    rate = fmt.sample_rate_hz
    body = struct.pack("<HHIIHH", kind, fmt.channels, rate, rate * fmt.frame_bytes, fmt.frame_bytes, bits)
    head = b"RIFF" + struct.pack("<I", total) + b"WAVEfmt " + struct.pack("<I", 16) + body
    return head + info + b"data" + struct.pack("<I", min(num_bytes, _UNKNOWN_BYTES))


class Writer:
    """Samples into a file as raw PCM or WAV, flushed block by block.

    Where the file seeks, `close` puts the length into the head; on a pipe it stays unknown.
    """

    def __init__(self, file: BinaryIO, fmt: Format, *, wav: bool, tags: Tags = NO_TAGS) -> None:
        self._file, self._format, self._wav, self._tags = file, fmt, wav, tags
        self._num_bytes = self._head_bytes = 0
        if wav:
            head = wav_head(fmt, tags=tags)
            self._head_bytes = len(head)
            file.write(head)

    def write(self, samples: Samples) -> None:
        """Samples, [time, channels], float or int16."""
        data = encode(samples, self._format)
        self._file.write(data)
        self._file.flush()
        self._num_bytes += len(data)

    def close(self) -> None:
        """Finish the head, if it can be reached. The file stays open."""
        if self._wav and self._file.seekable():
            if self._num_bytes % 2:
                self._file.write(b"\0")
            end = self._file.tell()
            self._file.seek(end - self._num_bytes - self._num_bytes % 2 - self._head_bytes)
            self._file.write(wav_head(self._format, self._num_bytes, self._tags))
            self._file.seek(end)
        self._file.flush()


def decode(data: bytes, fmt: Format) -> Samples:
    """Bytes of whole frames as samples."""
    match fmt.sample:
        case "s16le":
            samples: Samples = np.frombuffer(data, "<i2").astype(np.int16)
        case "u8":
            samples = (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / 128
        case "s24le":
            parts = np.frombuffer(data, np.uint8).reshape(-1, 3).astype(np.int32)
            values = parts[:, 0] << 8 | parts[:, 1] << 16 | parts[:, 2] << 24
            samples = (values >> 8).astype(np.float32) / 2**23
        case "s32le":
            samples = (np.frombuffer(data, "<i4") / 2**31).astype(np.float32)
        case _:
            samples = np.frombuffer(data, "<f4").astype(np.float32)
            if np.isnan(samples).any():
                raise SignalError("raw samples with NaN in them")
            samples = samples.clip(-1, 1)
    return samples.reshape(-1, fmt.channels)


def encode(samples: Samples, fmt: Format) -> bytes:
    """The inverse of `decode`, rounded to the nearest and clipped."""
    values = samples.astype(np.float64)
    values = values / 32_768 if samples.dtype == np.int16 else values
    match fmt.sample:
        case "u8":
            return _integers(values, 8, np.uint8, 128).tobytes()
        case "s16le":
            return (
                samples.astype("<i2").tobytes()
                if samples.dtype == np.int16
                else _integers(values, 16, "<i2").tobytes()
            )
        case "s24le":
            whole = _integers(values, 24, "<i4")
            return whole.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
        case "s32le":
            return _integers(values, 32, "<i4").tobytes()
        case _:
            return values.astype("<f4").tobytes()


def _integers(values: Samples, bits: int, dtype: Any, middle: int = 0) -> Samples:
    peak = 2 ** (bits - 1)
    whole = np.clip(np.rint(values * peak), -peak, peak - 1) + middle
    return np.ascontiguousarray(whole.astype(np.int64).astype(dtype))


def _wav_format(body: bytes) -> Format:
    if len(body) < 16:
        raise CorruptStream("the format of a WAV file is cut")
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
    if kind == _EXTENSIBLE and len(body) >= 26:
        kind = int.from_bytes(body[24:26], "little")
    if (kind, bits) not in _WAV_FORMATS:
        raise SignalError(
            f"a WAV file of kind {kind} with {bits} bits; 8, 16, 24, 32 bits and float are read"
        )
    try:
        return Format(_WAV_FORMATS[kind, bits], rate, channels)
    except OptionError as error:
        raise CorruptStream(f"WAV file: {error}") from None


def _tags(body: bytes) -> dict[str, str]:
    """What a LIST chunk of kind INFO holds, as far as it has a name here; other lists hold nothing."""
    tags, at = {}, 4
    while body[:4] == b"INFO" and at + 8 <= len(body):
        size = int.from_bytes(body[at + 4 : at + 8], "little")
        data = body[at + 8 : at + 8 + size].split(b"\0", 1)[0]
        if data and (name := _INFO.get(body[at : at + 4])):
            try:
                tags[name] = data.decode()
            except UnicodeDecodeError:
                tags[name] = data.decode("latin-1")
        at += 8 + size + size % 2
    return tags


def _info(tags: Tags) -> bytes:
    """The inverse, empty without tags; those that WAV has no field for are left out."""
    body = b"INFO"
    for field, name in _INFO.items():
        value = tags.get(name, "")
        text = (value if isinstance(value, str) else "; ".join(value)).replace("\0", "").encode()
        if text:
            body += field + struct.pack("<I", len(text) + 1) + text + b"\0" + b"\0" * ((len(text) + 1) % 2)
    return b"LIST" + struct.pack("<I", len(body)) + body if len(body) > 4 else b""


def _read_up_to(file: BinaryIO, size: int) -> bytes:
    """`size` bytes, fewer only at the end of the file: a pipe gives what it has."""
    data = file.read(size) or b""
    while 0 < len(data) < size:
        more = file.read(size - len(data))
        if not more:
            break
        data += more
    return data
