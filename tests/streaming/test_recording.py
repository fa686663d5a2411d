import io
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import narrows
from narrows import container
from narrows.errors import LimitExceeded, TruncatedStream, UnsupportedStream
from narrows.files import output
from narrows.limits import Limits
from narrows.streaming.recording import Recording, Replay

RATE_HZ = 16_000


def record(packets, header, **more):
    file = io.BytesIO()
    recording = Recording(file, header, **more)
    for packet in packets:
        recording.add(packet)
    recording.finish()
    return file.getvalue()


def coded(sound, **options):
    session = narrows.encoder("pcm", sample_rate_hz=RATE_HZ, **options)
    return session.header, session.push(sound) + session.finish()


def floats(sound):
    return sound / np.float32(32_768)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("count", [0, 1, 320, 16_000, 40_001])
def test_a_recording_decodes_to_what_went_in(speech, count, late):
    data = record(*reversed(coded(speech[:count], late=late)), note="test")
    assert np.array_equal(narrows.decode(data).samples, floats(speech[:count]))
    blocks = list(Replay(io.BytesIO(data)))
    assert np.array_equal(np.concatenate(blocks), floats(speech[:count]))
    info = narrows.info(data)
    assert info.live
    assert info.dims["num_samples"] == count  # from the chunks: the header was written before anyone knew
    assert narrows.verify(data).ok


def test_chunks_are_flushed_each_second(speech):
    header, packets = coded(speech)
    file = io.BytesIO()
    recording = Recording(file, header)
    sizes = []
    for packet in packets:
        recording.add(packet)
        sizes.append(len(file.getvalue()))
    assert len(set(sizes)) == 12  # the preamble, ten whole seconds and the last packet
    assert sorted(set(sizes))[1] > 50 * 640


@pytest.mark.parametrize("keep", [0, 1, 49, 50, 51, 120, 400])
def test_without_end_what_is_whole_decodes_if_asked_for(speech, keep):
    header, packets = coded(speech)
    file = io.BytesIO()
    recording = Recording(file, header)
    for packet in packets[:keep]:
        recording.add(packet)
    data = file.getvalue()
    whole = keep // 50 * 50 * 320
    with pytest.raises(TruncatedStream):
        narrows.decode(data)
    partial = narrows.decode(data, partial=True).samples
    assert np.array_equal(partial, floats(speech[:whole]))
    with pytest.raises(TruncatedStream):
        list(Replay(io.BytesIO(data)))
    blocks = list(Replay(io.BytesIO(data), partial=True))
    assert np.array_equal(np.concatenate(blocks), floats(speech[:whole]))


def test_every_prefix_of_a_recording_decodes_partially(speech):
    data = record(*reversed(coded(speech[:40_000])))
    head = len(coded(speech[:0])[0])
    for size in range(head, len(data), 997):
        samples = narrows.decode(data[:size], partial=True).samples
        assert np.array_equal(samples, floats(speech[: len(samples)]))


def test_holes_are_kept_and_concealed(speech):
    header, packets = coded(speech[:64_000])
    data = record([p for p in packets if not 60 <= p.seq < 80], header)
    samples = narrows.decode(data).samples
    assert len(samples) == 64_000
    lost = slice(60 * 320, 80 * 320)
    expected = floats(speech[:64_000])
    assert np.array_equal(np.delete(samples, lost, axis=0), np.delete(expected, lost, axis=0))


def test_packets_go_forward_only(speech):
    header, packets = coded(speech[:3200])
    recording = Recording(io.BytesIO(), header)
    recording.add(packets[3])
    with pytest.raises(ValueError, match="4 is next"):
        recording.add(packets[2])


def test_what_is_no_sound_is_not_replayed():
    with pytest.raises(UnsupportedStream, match="not audio"):
        Replay(io.BytesIO(narrows.encode(b"hello")))


def test_live_output_is_created_exclusively_and_stays(tmp_path):
    path = tmp_path / "a.nrws"

    def fail():
        with output.live(path) as file:
            file.write(b"kept")
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_bytes() == b"kept"
    with pytest.raises(FileExistsError), output.live(path):
        pass
    with output.live(path, force=True) as file:
        assert path.read_bytes() == b""
        file.write(b"new")
    assert path.read_bytes() == b"new"
    with pytest.raises(FileNotFoundError), output.live(tmp_path / "no" / "folder"):
        pass


CRASH = """
import sys, time
sys.path.insert(0, sys.argv[2])
from narrows import registry
registry.CODECS["pcm"] = "streaming.toys:Pcm"
import narrows, numpy as np
from narrows.files import output
from narrows.streaming.recording import Recording
session = narrows.encoder("pcm", sample_rate_hz=16000)
with output.live(sys.argv[1]) as file:
    recording = Recording(file, session.header)
    for i in range(100000):
        for packet in session.push(np.full((320, 1), i % 100, np.int16)):
            recording.add(packet)
        time.sleep(0.0005)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no kill -9")
def test_a_recording_survives_kill_minus_nine(tmp_path):
    path = tmp_path / "live.nrws"
    tests = str(Path(__file__).parents[1])
    process = subprocess.Popen([sys.executable, "-c", CRASH, str(path), tests])
    try:
        end_s = time.monotonic() + 30
        while time.monotonic() < end_s and (not path.exists() or path.stat().st_size < 100_000):
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.wait(10)
    with pytest.raises(TruncatedStream):
        narrows.decode(path.read_bytes())
    with narrows.open(path, partial=True) as stream:
        samples = stream.read().samples
    assert len(samples) >= 3 * RATE_HZ
    assert len(samples) % RATE_HZ == 0  # whole seconds
    frames = samples.reshape(-1, 320)
    expected = (np.arange(len(frames)) % 100 / 32_768).astype(np.float32)
    assert np.array_equal(frames, np.repeat(expected[:, np.newaxis], 320, axis=1))


def test_a_last_packet_adds_no_more_than_one_can(speech):
    header, packets = coded(speech[:3200])
    for count in (-1, 10_000, 2**40):
        file = io.BytesIO()
        recording = Recording(file, header)
        for packet in packets[:4]:
            recording.add(packet)
        with pytest.raises(ValueError, match="last packet"):
            recording.add(replace(packets[4], last=True, count=count))
        recording.finish()
        assert np.array_equal(narrows.decode(file.getvalue()).samples, floats(speech[: 4 * 320]))


@pytest.mark.parametrize("name", ["speech", "music"])
def test_blocks_are_bounded_by_limits(name):
    """A header of a few bytes can ask for 255 channels at 768 kHz and packets of five seconds."""
    session = narrows.encoder(name, sample_rate_hz=768_000, channels=255, packet_frames=250, quality=0)
    file = io.BytesIO()
    container.Writer(file, session.parsed, live=True).finish()
    data = file.getvalue()
    for decode in (
        lambda: narrows.decoder(session.header),
        lambda: list(Replay(io.BytesIO(data))),
        lambda: list(narrows.open(data)),
    ):
        with pytest.raises(LimitExceeded, match="max_output_bytes"):
            decode()
    assert narrows.decoder(session.header, limits=Limits(max_output_bytes=2**33)).packet_frames == 250


def test_a_hole_in_a_file_is_concealed_a_packet_at_a_time(speech):
    """Chunks of a live file may be far apart: what is between them never lies in memory at once."""
    session = narrows.encoder("speech", sample_rate_hz=RATE_HZ)
    packets = session.push(speech[:32_000])
    file = io.BytesIO()
    recording = Recording(file, session.header)
    for packet in packets[:50]:
        recording.add(packet)
    head = file.getvalue()
    later = io.BytesIO()
    recording = Recording(later, session.header)
    recording.add(packets[50])
    recording = Recording(later, session.header)
    far = 30_000
    recording.add(replace(packets[50], seq=far))
    for packet in packets[51:]:
        recording.add(replace(packet, seq=packet.seq - 50 + far))
    recording._write()
    chunk = later.getvalue()[2 * len(session.header) :]
    blocks = [len(block) for block in Replay(io.BytesIO(head + chunk), partial=True)]
    assert max(blocks) == 320
    assert sum(blocks) > far * 320
