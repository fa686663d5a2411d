"""Sound codecs that the benchmarks compare with, each at the settings its users would choose, one thread.

    from audio_peers import PEERS
    coded = PEERS["opus_audio"].code(samples, 16_000, 12_000)    # Coded(packets, samples): late by the delay

A peer whose library is not installed names the reason instead of a version.
"""

from __future__ import annotations

import importlib
import importlib.util
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from libopus import FRAME_MS, RATES_HZ, Opus

from narrows.eval.metrics.audio import align, resample

Samples = npt.NDArray[np.float32]

MAX_DELAY_S = 0.08  # no codec here is later, whatever its container says


class Coded(NamedTuple):
    """What went over the line, and what came out: [time, channels] at the input's rate, delay still in."""

    packets: list[bytes]
    samples: Samples
    encode_cpu_s: float
    decode_cpu_s: float


@dataclass(frozen=True)
class Peer:
    """One way to use a codec; `code(samples, sample_rate_hz, bitrate)` for float32 [time, channels].

    `nominal_kbps` are the rates it is measured at, per set. Only packet bytes count as its rate.
    """

    name: str
    title: str
    nominal_kbps: dict[str, tuple[float, ...]]
    code: Callable[[Samples, int, int], Coded]
    find: Callable[[], str]
    constant: bool = False

    @property
    def version(self) -> str:
        """The library's version, or empty."""
        try:
            return self.find()
        except (RuntimeError, ImportError, OSError):
            return ""

    @property
    def missing(self) -> str:
        """Why the peer cannot run here, or empty."""
        try:
            self.find()
        except (RuntimeError, ImportError, OSError) as error:
            return str(error)
        return ""


def _cpu_s() -> float:
    """CPU time of this process and of the children it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _libopus(samples: Samples, sample_rate_hz: int, bitrate: int, **options: Any) -> Coded:
    """Encoded and decoded by libopus itself, at the nearest of its rates that is not lower."""
    opus = _opus()
    rate = _coded_rate(sample_rate_hz)
    source = _at_rate(samples, sample_rate_hz, rate)
    application = options.get("application", "audio")
    begin = _cpu_s()
    packets = opus.encode(source, rate, bitrate, **options)
    middle = _cpu_s()
    decoded = opus.decode(packets, rate, len(source), channels=source.shape[1], application=application)
    end = _cpu_s()
    return Coded(packets, _at_rate(decoded, rate, sample_rate_hz), middle - begin, end - middle)


def _ffmpeg_opus(samples: Samples, sample_rate_hz: int, bitrate: int, application: str) -> Coded:
    """Encoded by libopus, decoded by FFmpeg's own decoder at 48 kHz: what most players do."""
    options = {
        "application": application, "frame_duration": str(FRAME_MS), "vbr": "on", "compression_level": "10"
    }  # fmt: skip
    rate = _coded_rate(sample_rate_hz)
    coded = _pyav("libopus", "opus", _at_rate(samples, sample_rate_hz, rate), rate, bitrate, options)
    return coded._replace(samples=_at_rate(coded.samples, rate, sample_rate_hz))


def _lossy_at_low_rate(encoder: str, samples: Samples, sample_rate_hz: int, bitrate: int) -> Coded:
    """AAC or MP3: 16 kHz mono below 18 kbit/s, 24 kHz below 36, where the full rate would not fit."""
    rate = 16_000 if bitrate < 18_000 else 24_000 if bitrate < 36_000 else sample_rate_hz
    source = samples.mean(axis=1, keepdims=True) if rate == 16_000 else samples
    source = _at_rate(source, sample_rate_hz, rate)
    decoder = "mp3float" if encoder == "libmp3lame" else encoder
    coded = _pyav(encoder, decoder, source, rate, bitrate, {})
    decoded = _at_rate(coded.samples, rate, sample_rate_hz)
    return coded._replace(samples=np.broadcast_to(decoded, (len(decoded), samples.shape[1])))


def _pyav(
    encoder: str, decoder: str, samples: Samples, sample_rate_hz: int, bitrate: int, options: dict[str, str]
) -> Coded:
    """Packets of an FFmpeg encoder and the samples of a decoder, both called without a container."""
    av = importlib.import_module("av")
    layout = "mono" if samples.shape[1] == 1 else "stereo"
    begin = _cpu_s()
    writer = av.CodecContext.create(encoder, "w")
    writer.sample_rate, writer.layout, writer.bit_rate = sample_rate_hz, layout, bitrate
    writer.format = "flt" if encoder == "libopus" else "fltp"
    writer.options = options
    writer.thread_count = 1
    writer.open()
    planar = encoder != "libopus"
    packets = []
    for first in range(0, len(samples), writer.frame_size):
        block = samples[first : first + writer.frame_size]
        array = np.ascontiguousarray(block.T) if planar else np.ascontiguousarray(block).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(array, format=writer.format.name, layout=layout)
        frame.sample_rate, frame.pts = sample_rate_hz, first
        packets += [bytes(packet) for packet in writer.encode(frame)]
    packets += [bytes(packet) for packet in writer.encode(None)]
    middle = _cpu_s()
    reader = av.CodecContext.create(decoder, "r")
    reader.extradata = writer.extradata
    reader.thread_count = 1
    reader.open()
    blocks = []
    rate = sample_rate_hz
    for packet in [*map(av.Packet, packets), None]:
        for frame in reader.decode(packet):
            rate = frame.sample_rate
            blocks.append(_frame_samples(frame))
    decoded = np.concatenate(blocks)[:, : samples.shape[1]]
    end = _cpu_s()
    return Coded(packets, _at_rate(decoded, rate, sample_rate_hz), middle - begin, end - middle)


def _frame_samples(frame: Any) -> Samples:
    array = frame.to_ndarray()
    block = array.T if frame.format.is_planar else array.reshape(-1, len(frame.layout.channels))
    return block.astype(np.float32) / (32_768 if block.dtype == np.int16 else 1)


def _lc3(samples: Samples, sample_rate_hz: int, bitrate: int) -> Coded:
    """liblc3's own tools, 10 ms frames; its bytes per frame are constant."""
    coded_rate = _coded_rate(sample_rate_hz)
    samples = _at_rate(samples, sample_rate_hz, coded_rate)
    soundfile = importlib.import_module("soundfile")
    with tempfile.TemporaryDirectory() as folder:
        source, coded, decoded = (str(Path(folder) / name) for name in ("in.wav", "x.lc3", "out.wav"))
        soundfile.write(source, samples, coded_rate, subtype="PCM_16")
        begin = _cpu_s()
        subprocess.run(
            ["elc3", "-b", str(bitrate), "-m", "10", source, coded], check=True, capture_output=True
        )
        middle = _cpu_s()
        subprocess.run(["dlc3", coded, decoded], check=True, capture_output=True)
        end = _cpu_s()
        data = Path(coded).read_bytes()
        output, rate = soundfile.read(decoded, dtype="float32", always_2d=True)
    return Coded(_lc3_frames(data), _at_rate(output, rate, sample_rate_hz), middle - begin, end - middle)


def _lc3_frames(data: bytes) -> list[bytes]:
    """Frames of a file of `elc3`: a header whose length is its second word, then length and bytes each."""
    at = int.from_bytes(data[2:4], "little")
    frames = []
    while at < len(data):
        size = int.from_bytes(data[at : at + 2], "little")
        frames.append(data[at + 2 : at + 2 + size])
        at += 2 + size
    return frames


def _coded_rate(sample_rate_hz: int) -> int:
    """The lowest rate of Opus and LC3 that is not below the signal's, or their highest."""
    return next((rate for rate in RATES_HZ if rate >= sample_rate_hz), RATES_HZ[-1])


def _at_rate(samples: Samples, from_rate_hz: int, to_rate_hz: int) -> Samples:
    if from_rate_hz == to_rate_hz:
        return samples
    return resample(samples, from_rate_hz, to_rate_hz).astype(np.float32)


@cache
def _opus() -> Opus:
    return Opus()


def _opus_version() -> str:
    return _opus().version


def _pyav_version() -> str:
    if importlib.util.find_spec("av") is None:
        raise RuntimeError("PyAV is not installed (pip install 'narrows[bench]')")
    av = importlib.import_module("av")
    codecs = vars(av)["library_versions"]["libavcodec"]
    return f"PyAV {av.__version__}, libavcodec {'.'.join(map(str, codecs))}"


def _lc3_version() -> str:
    for tool in ("elc3", "dlc3"):
        if shutil.which(tool) is None:
            raise RuntimeError(f"{tool} is not installed (Debian: apt-get install liblc3-tools)")
    return "liblc3"


_SPEECH = (6, 8, 12, 16)
_MUSIC = (12, 24, 48, 64)

PEERS = {
    peer.name: peer
    for peer in (
        Peer(
            "opus_audio", "Opus audio VBR", {"speech": _SPEECH, "music": _MUSIC},
            partial(_ffmpeg_opus, application="audio"), lambda: f"{_opus_version()}, {_pyav_version()}",
        ),
        Peer(
            "opus_voip", "Opus voip VBR", {"speech": _SPEECH},
            partial(_ffmpeg_opus, application="voip"), lambda: f"{_opus_version()}, {_pyav_version()}",
        ),
        Peer(
            "opus_lib", "Opus audio VBR, libopus decoder", {"speech": _SPEECH}, _libopus, _opus_version,
        ),
        Peer(
            "opus_wide", "Opus audio VBR, wideband forced", {"speech": (8, 12)},
            partial(_libopus, bandwidth="wide"), _opus_version,
        ),
        Peer(
            "opus_cvbr", "Opus audio constrained VBR", {"speech": _SPEECH, "music": (*_MUSIC, 96)},
            partial(_libopus, vbr="constrained"), _opus_version,
        ),
        Peer(
            "opus_cbr", "Opus audio CBR", {"speech": (6,)}, partial(_libopus, vbr="off"), _opus_version,
            constant=True,
        ),
        Peer("lc3", "LC3 10 ms", {"speech": (16,), "music": (48, 64)}, _lc3, _lc3_version, constant=True),
        Peer("aac", "AAC-LC (FFmpeg)", {"music": _MUSIC}, partial(_lossy_at_low_rate, "aac"), _pyav_version),
        Peer(
            "mp3", "MP3 (LAME)", {"music": (24, 48, 64)}, partial(_lossy_at_low_rate, "libmp3lame"),
            _pyav_version, constant=True,
        ),
    )
}  # fmt: skip


def forget_this_folder() -> None:
    """Import nothing more from here: tokenizers.py would stand for the package that others mean by it."""
    here = Path(__file__).resolve().parent
    sys.path[:] = [path for path in sys.path if Path(path or ".").resolve() != here]


def aligned(coded: Coded, delay_samples: int, num_samples: int) -> Samples:
    """The decoded samples in time with the original."""
    return align(coded.samples, delay_samples, num_samples)
