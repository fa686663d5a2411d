import io
import wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.errors import CorruptStream, OptionError, SignalError
from narrows.streaming import pcm

FORMATS = ["u8", "s16le", "s24le", "s32le", "f32le"]


class Trickle(io.RawIOBase):
    """A pipe that gives a byte or three at a time and cannot seek."""

    def __init__(self, data):
        self._data, self._turn = data, 0

    def readable(self):
        return True

    def read(self, size=-1):
        self._turn += 1
        count = min(1 + 2 * (self._turn % 2), size)
        part, self._data = self._data[:count], self._data[count:]
        return part


def numbers(channels, count=100):
    rng = np.random.default_rng(channels)
    return np.clip(rng.normal(0, 0.4, (count, channels)), -1, 1).astype(np.float32)


@pytest.mark.parametrize("sample", FORMATS)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_samples_come_back_to_the_precision_of_their_format(sample, channels):
    fmt = pcm.Format(sample, 16_000, channels)
    samples = numbers(channels)
    back = pcm.decode(pcm.encode(samples, fmt), fmt)
    step = {"u8": 2**-7, "s16le": 2**-15, "s24le": 2**-23, "s32le": 2**-23, "f32le": 0}[sample]
    values = back / 32_768 if back.dtype == np.int16 else back
    assert np.abs(values - samples).max() <= step
    assert back.shape == samples.shape


def test_what_a_session_returns_survives_24_bits():
    samples = (np.arange(-(2**23), 2**23, 9973) / 2**23).astype(np.float32)[:, np.newaxis]
    fmt = pcm.Format("s24le", 16_000, 1)
    assert np.array_equal(pcm.decode(pcm.encode(samples, fmt), fmt), samples)


@given(st.binary(max_size=200), st.integers(1, 9))
def test_blocks_join_to_the_whole_and_a_cut_frame_is_left(data, size):
    fmt = pcm.Format("s16le", 8000, 2)
    blocks = list(pcm.read_blocks(Trickle(data), fmt, size))
    whole = pcm.decode(data[: len(data) // 4 * 4], fmt)
    assert np.array_equal(np.concatenate([*blocks, whole[:0]]), whole)
    assert all(len(block) == size for block in blocks[:-1])


@pytest.mark.parametrize("sample", ["u8", "s16le", "s24le", "s32le"])
def test_wav_is_that_of_the_standard_library(sample, tmp_path):
    fmt = pcm.Format(sample, 22_050, 2)
    path = tmp_path / "a.wav"
    with path.open("wb") as file:
        writer = pcm.Writer(file, fmt, wav=True)
        for block in np.array_split(numbers(2), 7):
            writer.write(block)
        writer.close()
    with wave.open(str(path)) as other:
        assert (other.getframerate(), other.getnchannels(), other.getnframes()) == (22_050, 2, 100)
        data = other.readframes(100)
    assert data == pcm.encode(numbers(2), fmt)
    with path.open("rb") as file:
        assert pcm.open_wav(file) == (fmt, len(data), {})


def test_wav_through_a_pipe_has_no_length_and_is_read_to_its_end():
    fmt = pcm.Format("s16le", 16_000, 1)
    data = pcm.wav_head(fmt) + pcm.encode(numbers(1), fmt)
    assert data[40:44] == b"\xff\xff\xff\xff"
    pipe = Trickle(data)
    assert pcm.open_wav(pipe) == (fmt, None, {})
    assert sum(len(block) for block in pcm.read_blocks(pipe, fmt, 33)) == 100


def test_float_and_extensible_wavs_with_other_chunks(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    for subtype, file_format in (("FLOAT", "WAV"), ("PCM_24", "WAVEX")):
        path = tmp_path / "b.wav"
        soundfile.write(path, numbers(2), 48_000, subtype=subtype, format=file_format)
        with path.open("rb") as file:
            fmt, num_bytes, _ = pcm.open_wav(file)
            (block,) = pcm.read_blocks(file, fmt, 100, num_bytes)
        assert (fmt.sample_rate_hz, fmt.channels) == (48_000, 2)
        assert np.abs(block[:100] - numbers(2)).max() < 1e-6


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        b"ID3",
        b"RIFF\0\0\0\0WAVE",
        b"RIFF\0\0\0\0WAVEdata\4\0\0\0",
        b"RIFF\0\0\0\0WAVEfmt \xff\xff\xff\x7f",
        b"RIFF\0\0\0\0WAVEfmt \4\0\0\0abcd",
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0" + bytes(16),
    ],
)
def test_what_is_no_wav(data):
    with pytest.raises((CorruptStream, SignalError)):
        pcm.open_wav(Trickle(data))


@given(st.binary(max_size=80))
def test_any_bytes_are_a_wav_or_refused(data):
    try:
        fmt, num_bytes, _ = pcm.open_wav(io.BytesIO(b"RIFF\0\0\0\0WAVE" + data))
    except (CorruptStream, SignalError):
        return
    assert isinstance(fmt, pcm.Format)
    assert num_bytes is None or num_bytes >= 0


def test_nan_is_refused_and_loud_floats_are_clipped():
    fmt = pcm.Format("f32le", 16_000, 1)
    with pytest.raises(SignalError, match="NaN"):
        list(pcm.read_blocks(io.BytesIO(np.float32([0, np.nan]).tobytes()), fmt, 10))
    (block,) = pcm.read_blocks(io.BytesIO(np.float32([3, -3]).tobytes()), fmt, 10)
    assert block.tolist() == [[1], [-1]]
    loud = np.array([[2.0], [-2.0]])
    assert pcm.decode(pcm.encode(loud, pcm.Format()), pcm.Format()).tolist() == [[32_767], [-32_768]]


@pytest.mark.parametrize(
    "text", ["", "s16le", "s16le:16000", "s16:16000:1", "s16le:x:1", "s16le:0:1", "s16le:8000:0"]
)
def test_what_is_no_format(text):
    with pytest.raises(OptionError):
        pcm.Format.parse(text)


def test_chunks_behind_the_samples_are_no_sound():
    fmt = pcm.Format("s16le", 16_000, 1)
    samples = pcm.encode(numbers(1), fmt)
    title = b"LIST\x1a\0\0\0INFOINAM\x0d\0\0\0a long title\0\0"

    def heard(data, block=33):
        file = Trickle(data)
        found, num_bytes, _ = pcm.open_wav(file)
        return sum(len(part) for part in pcm.read_blocks(file, found, block, num_bytes))

    def with_riff_size(data, size):
        return data[:4] + size.to_bytes(4, "little") + data[8:]

    assert heard(pcm.wav_head(fmt, len(samples)) + samples + title) == 100
    assert heard(pcm.wav_head(fmt, len(samples)) + samples + title, block=25) == 100
    empty = pcm.wav_head(fmt, 0)
    assert heard(with_riff_size(empty + title, len(empty + title) - 8)) == 0
    # Lengths that writers to pipes leave: nothing at all, an empty sound's, the largest that some type holds.
    for riff, size in ((0, 0), (36, 0), (2**32 - 1, 2**32 - 1), (2**31 - 1 + 36, 2**31 - 1), (0, 0x7FFFF000)):
        head = with_riff_size(empty, riff % 2**32)[:40] + size.to_bytes(4, "little")
        assert heard(head + samples) == 100, (riff, size)


def test_rf64_has_its_length_in_a_chunk_of_its_own():
    fmt = pcm.Format("s16le", 16_000, 1)
    samples = pcm.encode(numbers(1), fmt)
    long = b"ds64" + (28).to_bytes(4, "little") + bytes(8) + len(samples).to_bytes(8, "little") + bytes(12)
    head = pcm.wav_head(fmt)
    file = Trickle(b"RF64" + head[4:12] + long + head[12:] + samples + b"LIST\4\0\0\0abcd")
    found, num_bytes, _ = pcm.open_wav(file)
    assert (found, num_bytes) == (fmt, 200)
    assert sum(len(part) for part in pcm.read_blocks(file, found, 7, num_bytes)) == 100


TAGS = {"title": "Überfahrt", "artist": "odd", "comment": "a comment", "date": "2026"}


@pytest.mark.parametrize("seekable", [False, True])
def test_tags_stand_before_the_samples_and_survive_a_length_that_comes_late(seekable, tmp_path):
    soundfile = pytest.importorskip("soundfile")
    fmt, samples = pcm.Format("s16le", 16_000, 1), numbers(1)
    path = tmp_path / "a.wav"
    if seekable:
        with path.open("wb") as file:
            writer = pcm.Writer(file, fmt, wav=True, tags=TAGS | {"mood": "calm", "album": ["one", "two"]})
            for first in range(0, 99, 9):
                writer.write(samples[first : first + 9])
            writer.close()
        with soundfile.SoundFile(path) as found:
            told = {name: text for name, text in found.copy_metadata().items() if text}
            assert (found.frames, told) == (99, TAGS | {"album": "one; two"})
        wav = pcm.open_wav(io.BytesIO(path.read_bytes()))
        assert wav == (fmt, 198, TAGS | {"album": "one; two"})
    else:
        data = pcm.wav_head(fmt, tags=TAGS) + pcm.encode(samples, fmt)
        pipe = Trickle(data)
        assert pcm.open_wav(pipe) == (fmt, None, TAGS)
        assert sum(len(block) for block in pcm.read_blocks(pipe, fmt, 33)) == 100


def test_tags_behind_the_samples_are_found_where_a_file_seeks():
    fmt, samples = pcm.Format("s16le", 16_000, 1), bytes(199)
    title = b"LIST" + (15).to_bytes(4, "little") + b"INFOINAM\3\0\0\0\xfcb\0" + b"\0"
    file = io.BytesIO(pcm.wav_head(fmt, 199) + samples + b"\0" + b"junk\1\0\0\0ab" + title)
    assert pcm.open_wav(file) == (fmt, 199, {})
    begin = file.tell()
    assert pcm.tags_behind(file, 199) == {"title": "\xfcb"}  # neither UTF-8 nor in vain
    assert file.tell() == begin
    assert pcm.tags_behind(file, 2**64) == {}


@given(st.binary(max_size=60))
def test_any_bytes_are_tags_or_none(data):
    fmt = pcm.Format("s16le", 16_000, 1)
    chunk = b"LIST" + (4 + len(data)).to_bytes(4, "little") + b"INFO" + data + b"\0" * (len(data) % 2)
    head = pcm.wav_head(fmt, 0)
    wav = pcm.open_wav(io.BytesIO(head[:36] + chunk + head[36:] + chunk))
    assert wav.format == fmt
    assert all(isinstance(text, str) and text for text in wav.tags.values())
    assert pcm.open_wav(io.BytesIO(pcm.wav_head(fmt, 0, wav.tags))).tags == wav.tags


def test_the_length_of_a_wav_has_the_byte_that_makes_samples_even() -> None:
    file = io.BytesIO()
    writer = pcm.Writer(file, pcm.Format("s24le", 16_000, 1), wav=True)
    writer.write(np.zeros((1, 1), np.float32))
    writer.close()
    written = file.getvalue()
    assert int.from_bytes(written[4:8], "little") == len(written) - 8
    assert int.from_bytes(written[40:44], "little") == 3
