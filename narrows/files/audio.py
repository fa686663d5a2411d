"""Sound files through soundfile (libsndfile): WAV, FLAC, Ogg, MP3, AIFF."""

from __future__ import annotations

import io
from typing import BinaryIO

import numpy as np

from narrows.errors import SignalError
from narrows.limits import Limits
from narrows.signals import Audio

_WRITERS = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG", ".opus": "OGG", ".mp3": "MP3", ".aiff": "AIFF"}
EXTENSIONS = tuple(_WRITERS)
# As libsndfile calls what LIST INFO, Vorbis comments and ID3 hold.
TAGS = (
    "title",
    "artist",
    "album",
    "tracknumber",
    "date",
    "genre",
    "comment",
    "copyright",
    "license",
    "software",
)


def is_audio(head: bytes) -> bool:
    """Tell whether a file that begins with `head` (16 bytes or more) is a sound file."""
    return (
        (head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE")
        or (head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"))
        or head[:4] in (b"fLaC", b"OggS")
        or head[:3] == b"ID3"
        or (head[:1] == b"\xff" and head[1:2] in (b"\xfb", b"\xfa", b"\xf3", b"\xf2"))
    )


def read(file: BinaryIO, limits: Limits) -> Audio:
    """Read a sound file and its tags: int16 where it holds 16-bit integers, else float32 in [-1, 1].

    Raises SignalError for damage and NaN, LimitExceeded before samples are read.
    """
    import soundfile

    try:
        with soundfile.SoundFile(file) as source:
            limits.check("max_samples", source.frames * source.channels)
            limits.check("max_output_bytes", source.frames * source.channels * 4)
            exact = source.subtype == "PCM_16"
            samples = source.read(dtype="int16" if exact else "float32", always_2d=True)
            rate = source.samplerate
            tags = {name: text for name in TAGS if (text := getattr(source, name))}
    except (RuntimeError, TypeError) as error:  # LibsndfileError is a RuntimeError
        # "Error opening <_io.BufferedReader name='x'>: ..." and what is behind it.
        text = str(error).rpartition(">: ")[2].removeprefix("Error : ").strip().rstrip(".")
        raise SignalError(f"a sound file that cannot be read: {text[:1].lower() + text[1:]}") from error
    if not exact:
        if np.isnan(samples).any():
            raise SignalError("sound file with NaN in it")
        samples = samples.clip(-1, 1)
    return Audio(samples, rate, {"tags": tags} if tags else {})


def write(audio: Audio, file: BinaryIO, extension: str) -> None:
    """Write a sound file in the format of `extension`: int16 as 16-bit, float32 as 24-bit integers.

    Tags are written as far as such files have names for them.
    """
    if extension not in _WRITERS:
        raise SignalError(f"no sound format has the extension {extension!r}; known: {' '.join(EXTENSIONS)}")
    kind = _WRITERS[extension]
    subtype = {"MP3": None, "OGG": "OPUS" if extension == ".opus" else "VORBIS"}.get(
        kind, "PCM_16" if audio.samples.dtype == np.int16 else "PCM_24"
    )
    import soundfile

    whole = io.BytesIO()  # libsndfile hides what goes wrong in writing
    try:
        channels = audio.samples.shape[1]
        with soundfile.SoundFile(whole, "w", audio.sample_rate_hz, channels, subtype, format=kind) as target:
            for name, text in audio.meta.get("tags", {}).items():
                if name in TAGS:
                    setattr(target, name, text if isinstance(text, str) else "; ".join(text))
            target.write(audio.samples)
    except (RuntimeError, TypeError, ValueError) as error:
        raise SignalError(f"{extension} cannot hold this sound: {error}") from error
    file.write(whole.getbuffer())
