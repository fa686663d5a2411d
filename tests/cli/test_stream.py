"""`narrows stream` as processes, with pipes, signals and loopback between them. The codec is a toy."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import wave
from pathlib import Path

import numpy as np
import pytest

import narrows
from narrows import registry
from narrows.cli.main import main
from narrows.contracts import Packet
from narrows.streaming import wire

TESTS = Path(__file__).parents[1]
MAIN = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from narrows import registry
registry.CODECS["pcm"] = "streaming.toys:Pcm"
from narrows.cli.main import main
sys.exit(main())
"""
LIMIT_S = 60


@pytest.fixture(autouse=True)
def _pcm(monkeypatch):
    monkeypatch.setitem(registry.CODECS, "pcm", "streaming.toys:Pcm")
    yield
    registry._instances.pop("codec:pcm", None)


@pytest.fixture
def sound():
    t = np.arange(32_000) / 16_000
    return np.rint(9000 * np.sin(2 * np.pi * 300 * t) * np.sin(np.pi * t)).astype(np.int16)


def command(*arguments):
    return [sys.executable, "-c", MAIN, str(TESTS), "stream", *map(str, arguments)]


def start(*arguments, **more):
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.Popen(command(*arguments), **pipes)


def run(*arguments, data=None, limit_s=LIMIT_S):
    done = subprocess.run(
        command(*arguments), input=data, stdin=subprocess.DEVNULL if data is None else None,
        capture_output=True, timeout=limit_s, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr.decode()


def here(*arguments):
    """The same in this process: no second to start one."""
    return main(["stream", *map(str, arguments)])


def as_wav(samples):
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes(samples.tobytes())
    return file.getvalue()


def from_wav(data):
    """Samples of a 24-bit WAV of any declared length, as 16-bit integers."""
    assert data[:4] == b"RIFF"
    parts = np.frombuffer(data[44:], np.uint8).reshape(-1, 3)
    return (parts[:, 1].astype(np.int16) | parts[:, 2].astype(np.int16) << 8).astype(np.int16)


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_wav_through_both_pipes_is_the_same(sound):
    code, coded, errors = run("encode", "--codec", "pcm", data=as_wav(sound))
    assert (code, errors) == (0, "")
    assert np.array_equal(narrows.decode(coded).samples[:, 0], sound / np.float32(32_768))
    code, wav, errors = run("decode", data=coded)
    assert (code, errors) == (0, "")
    assert np.array_equal(from_wav(wav), sound)


def test_raw_samples_through_files(sound, tmp_path, capsys):
    raw, coded, back = (tmp_path / name for name in ("a.raw", "a.nrws", "b.raw"))
    raw.write_bytes(sound.tobytes())
    encode = ("encode", raw, "--pcm", "s16le:16000:1", "--codec", "pcm", "-o", coded)
    decode = ("decode", coded, "--pcm", "s16le", "-o", back)
    for arguments in (encode, decode):
        assert here(*arguments) == 0
        out, errors = capsys.readouterr()
        assert out == ""
        assert "2.0 s" in errors
    assert back.read_bytes() == sound.tobytes()
    for arguments in (encode, decode):
        assert here(*arguments) == 2
        errors = capsys.readouterr().err
        assert "exists" in errors
        assert "-f overwrites" in errors
        assert here(*arguments, "-f") == 0


def test_other_sound_files_are_read_whole(sound, tmp_path):
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "a.flac", sound, 16_000, subtype="PCM_16")
    code, coded, _ = run("encode", tmp_path / "a.flac", "--codec", "pcm", "-o", "-")
    assert code == 0
    assert np.array_equal(narrows.decode(coded).samples[:, 0], sound / np.float32(32_768))
    code, coded, _ = run("encode", "--codec", "pcm", data=(tmp_path / "a.flac").read_bytes())
    assert code == 0
    assert narrows.decode(coded).num_samples == len(sound)


def test_a_wav_of_another_kind_is_read_whole(sound, tmp_path, capsys):
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "a.wav", sound, 16_000, subtype="ULAW")
    expected, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    assert here("encode", tmp_path / "a.wav", "--codec", "pcm", "-o", tmp_path / "a.nrws") == 0
    heard = narrows.decode((tmp_path / "a.nrws").read_bytes()).samples[:, 0]
    assert np.abs(heard - expected).max() < 1e-3
    code, _, errors = run("encode", data=(tmp_path / "a.wav").read_bytes())
    assert code == 2
    assert "a WAV file of kind 7" in errors
    capsys.readouterr()


@pytest.mark.parametrize(
    ("extension", "behind"),
    [(".wav", False), (".wav", True), (".flac", False)],
    ids=["wav", "behind", "flac"],
)
def test_tags_are_kept_unless_stripped(extension, behind, sound, tmp_path, capsys):
    soundfile = pytest.importorskip("soundfile")
    source, coded, back = tmp_path / f"a{extension}", tmp_path / "a.nrws", tmp_path / "b.wav"
    tags = {"title": "Überfahrt", "artist": "odd"}
    with soundfile.SoundFile(source, "w", 16_000, 1, "PCM_16") as file:
        if behind:
            file.write(sound)
        for name, text in tags.items():
            setattr(file, name, text)
        if not behind:
            file.write(sound)
    assert here("encode", source, "--codec", "pcm", "-o", coded) == 0
    with narrows.open(coded) as stream:
        assert stream.metadata.get("tags", {}) == tags
    assert here("decode", coded, "-o", back) == 0
    with soundfile.SoundFile(back) as file:
        assert {name: text for name, text in file.copy_metadata().items() if text} == tags
        assert np.array_equal(file.read(dtype="int16"), sound)
    assert here("encode", source, "--codec", "pcm", "--strip", "-f", "-o", coded) == 0
    with narrows.open(coded) as stream:
        assert "tags" not in stream.metadata
    capsys.readouterr()


def test_a_file_is_not_coded_into_itself(sound, tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(as_wav(sound))
    before = path.read_bytes()
    assert here("encode", path, "--codec", "pcm", "-f", "-o", path) == 2
    assert path.read_bytes() == before


def wait_for(condition, limit_s=LIMIT_S):
    end_s = time.monotonic() + limit_s
    while time.monotonic() < end_s:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it did not happen")


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_the_first_interrupt_finishes_the_file(tmp_path):
    path = tmp_path / "live.nrws"
    process = start("encode", "--pcm", "s16le:16000:1", "--codec", "pcm", "-o", path, stdin=subprocess.PIPE)
    second = np.arange(16_000, dtype=np.int16).tobytes()
    process.stdin.write(second * 3)
    process.stdin.flush()
    wait_for(lambda: path.exists() and path.stat().st_size > 60_000)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, errors
    assert b"Fatal" not in errors  # the thread that reads still waits for the pipe, and is left waiting
    samples = narrows.decode(path.read_bytes()).samples
    assert len(samples) >= 2 * 16_000


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_after_kill_minus_nine_partial_gives_what_is_whole(tmp_path):
    path, back = tmp_path / "live.nrws", tmp_path / "b.raw"
    process = start("encode", "--pcm", "s16le:16000:1", "--codec", "pcm", "-o", path, stdin=subprocess.PIPE)
    second = np.arange(16_000, dtype=np.int16).tobytes()
    process.stdin.write(second * 3)
    process.stdin.flush()
    wait_for(lambda: path.exists() and path.stat().st_size > 90_000)
    process.kill()
    process.communicate(timeout=LIMIT_S)
    code, _, errors = run("decode", path, "--pcm", "s16le", "-o", back)
    assert code == 2
    assert "ends" in errors
    assert not back.exists()
    code, _, errors = run("decode", path, "--pcm", "s16le", "-o", back, "--partial")
    assert code == 1
    assert "warning" in errors
    assert back.read_bytes()[:64_000] == second * 2


@pytest.mark.parametrize("change", ["deleted", "inserted"])
def test_partial_goes_on_behind_a_hole_in_the_bytes(tmp_path, change):
    source, path, back = tmp_path / "a.wav", tmp_path / "a.nrws", tmp_path / "b.wav"
    source.write_bytes(as_wav(np.arange(14 * 16_000).astype(np.int16)))
    assert run("encode", source, "--codec", "pcm", "-o", path)[0] == 0
    data = path.read_bytes()
    at = 2 * len(data) // 14
    path.write_bytes(data[:at] + (data[at + 100 :] if change == "deleted" else b"\1" * 9 + data[at:]))
    assert run("decode", path, "-o", back)[0] == 2
    back.unlink(missing_ok=True)
    code, _, errors = run("decode", path, "--partial", "-o", back)
    assert code == 1, errors
    assert "nothing whole up to byte" in errors
    assert "checksum differs" in errors
    heard = from_wav(back.read_bytes())
    assert len(heard) >= 12 * 16_000


def test_send_and_receive_between_processes(sound, tmp_path):
    """Two seconds over loopback with a simulated network; both sides' statistics agree with its log."""
    source, heard, port = tmp_path / "a.wav", tmp_path / "b.wav", free_port()
    source.write_bytes(as_wav(sound))
    receiver = start(
        "receive", "--listen", port, "-o", heard, "--json", "--idle-s", "5", "--min-delay-ms", "60"
    )
    time.sleep(1.5)
    code, out, errors = run(
        "send", source, "--to", f"127.0.0.1:{port}", "--codec", "pcm", "--loss", "0.1", "--burst", "2",
        "--jitter-ms", "30", "--seed", "3", "--json",
    )  # fmt: skip
    assert code == 0, errors
    received, problems = receiver.communicate(timeout=LIMIT_S)
    assert receiver.returncode == 0, problems
    sent = [json.loads(line) for line in out.splitlines()]
    told = [json.loads(line) for line in received.splitlines()]
    assert {line["schema"] for line in sent + told} == {"narrows.stream/1"}
    assert next(iter(sent[0])) == "schema"
    assert {line["role"] for line in sent} == {"sender"}
    assert len(sent) >= 3
    final, other = sent[-1], told[-1]
    assert final["final"]
    assert other["final"]
    assert other["packets"] + other["missing"] == final["packets"] == 101
    # Headers and the repeated last packet are datagrams too, but no packets.
    assert other["missing"] == final["simulated_lost_packets"] > 0
    assert final["simulated_lost"] >= final["simulated_lost_packets"]
    assert len(from_wav(heard.read_bytes())) == pytest.approx(len(sound), abs=6 * 320)


def test_what_is_received_can_be_recorded_as_it_came(sound, tmp_path):
    source, record, port = tmp_path / "a.wav", tmp_path / "b.nrws", free_port()
    source.write_bytes(as_wav(sound))
    receiver = start("receive", "--listen", port, "-o", record, "--min-delay-ms", "200")
    time.sleep(1.5)
    code, _, errors = run("send", source, "--to", f"127.0.0.1:{port}", "--codec", "pcm")
    assert code == 0, errors
    _, problems = receiver.communicate(timeout=LIMIT_S)
    assert receiver.returncode == 0, problems
    assert b"100.0 %" not in problems
    assert np.array_equal(narrows.decode(record.read_bytes()).samples[:, 0], sound / np.float32(32_768))


@pytest.mark.slow
def test_a_minute_between_processes_keeps_true_statistics_and_no_drift(tmp_path):
    """5 % loss and 40 ms of jitter for 60 s of `speech`: the receiver counts what the simulator did."""
    source, heard, port = tmp_path / "a.wav", tmp_path / "b.wav", free_port()
    t = np.arange(60 * 16_000) / 16_000
    buzz = sum(np.sin(2 * np.pi * 130 * k * t) / k for k in range(1, 8))
    gate = np.clip(3 * np.sin(2 * np.pi * 1.1 * t) * np.sin(2 * np.pi * 0.23 * t), 0, 1)
    source.write_bytes(as_wav(np.rint(4000 * gate * buzz).astype(np.int16)))
    receiver = start("receive", "--listen", port, "-o", heard, "--json", "--idle-s", "5")
    time.sleep(3)
    code, out, errors = run(
        "send", source, "--to", f"127.0.0.1:{port}", "--kbps", "12",
        "--loss", "0.05", "--jitter-ms", "40", "--seed", "7", "--json", limit_s=150,
    )  # fmt: skip
    assert code == 0, errors
    received, problems = receiver.communicate(timeout=LIMIT_S)
    assert receiver.returncode == 0, problems
    sent = [json.loads(line) for line in out.splitlines()]
    told = [json.loads(line) for line in received.splitlines()]
    final, other = sent[-1], told[-1]
    assert other["packets"] + other["missing"] == final["packets"]
    assert other["missing"] == final["simulated_lost_packets"]
    assert other["loss"] == pytest.approx(0.05, abs=0.015)
    assert other["concealed_ms"] == pytest.approx(20 * (other["missing"] + other["late"]), abs=100)
    assert abs(other["drift_ppm"]) < 100  # one clock serves both
    delays = [line["jitter_delay_ms"] for line in told if line["played_s"] > 5]
    assert 30 < np.median(delays) < 120
    assert abs(np.mean(delays[-10:]) - np.mean(delays[:10])) < 40  # two packets
    assert len(from_wav(heard.read_bytes())) / 16_000 == pytest.approx(60, abs=0.5)


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_interrupting_both_sides_ends_both_well(sound, tmp_path):
    source, record, port = tmp_path / "a.wav", tmp_path / "b.nrws", free_port()
    source.write_bytes(as_wav(np.tile(sound, 20)))
    receiver = start("receive", "--listen", port, "-o", record)
    time.sleep(1.5)
    sender = start("send", source, "--to", f"127.0.0.1:{port}", "--codec", "pcm")
    wait_for(lambda: record.exists() and record.stat().st_size > 30_000)
    receiver.send_signal(signal.SIGINT)
    sender.send_signal(signal.SIGINT)
    for process in (receiver, sender):
        _, errors = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0, errors
    assert narrows.decode(record.read_bytes()).num_samples >= 16_000


def test_receiving_nothing_is_a_no(tmp_path, capsys):
    assert here("receive", "--listen", free_port(), "-o", tmp_path / "a.wav", "--idle-s", "0.3") == 1
    assert "nothing was received" in capsys.readouterr().err
    assert not (tmp_path / "a.wav").exists()


def test_packets_without_their_header_are_said_to_be_so(tmp_path, capsys):
    port, ended = free_port(), threading.Event()
    packet = wire.pack(Packet(0, 0, 0, b"x", key=True), wire.Stream(b"unknown", 3))

    def send():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            while not ended.wait(0.02):
                one.sendto(packet, ("127.0.0.1", port))

    sender = threading.Thread(target=send)
    sender.start()
    try:
        assert here("receive", "--listen", port, "-o", tmp_path / "a.wav", "--idle-s", "0.5") == 1
    finally:
        ended.set()
        sender.join()
    assert "not the header of their stream" in capsys.readouterr().err
    assert not (tmp_path / "a.wav").exists()


def test_clear_errors(tmp_path, sound, capsys):
    wav = tmp_path / "a.wav"
    wav.write_bytes(as_wav(sound))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        cases = [
            (("receive", "--listen", port), f"127.0.0.1:{port}: address already in use"),
            (("send", wav, "--to", "nowhere", "--codec", "pcm"), "an address is HOST:PORT"),
            (("send", wav, "--to", "127.0.0.1:9", "--loss", "2", "--codec", "pcm"), "loss must be 0 to 1"),
            (("send", wav, "--to", "127.0.0.1:9", "--codec", "bytes"), "has no sessions"),
            (("encode", wav, "--codec", "pcm:speed=1", "-o", "-"), "no option speed"),
            (("encode", tmp_path / "none.wav", "-o", "-"), "no such file"),
            (("encode", __file__, "-o", "-"), "sound file"),
            (("encode", "--pcm", "s16le", "-o", "-"), "FORMAT:RATE:CHANNELS"),
            (("encode", wav, "--mic", "-o", "-"), "two things"),
            (("decode", wav, "-o", "-"), "not a Narrows stream"),
            (("receive", "--listen", "5", "--speaker", "-o", "x.wav"), "two things"),
            (("decode", wav, "--speaker", "-o", "x.wav"), "two things"),
            (("decode", wav, "--speaker", "--pcm", "s16le"), "two things"),
        ]  # fmt: skip
        for arguments, words in cases:
            code, errors = here(*arguments), capsys.readouterr().err
            assert code == 2, (arguments, errors)
            assert words in errors, (arguments, errors)


def test_a_microphone_and_a_speaker_need_their_extra(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    coded = tmp_path / "a.nrws"
    coded.write_bytes(narrows.encode(narrows.Audio(np.zeros((0, 1), np.int16), 16_000), "pcm"))
    for arguments in (
        ("encode", "--mic", "-o", tmp_path / "b.nrws", "--codec", "pcm"),
        ("decode", coded, "--speaker"),
    ):
        assert here(*arguments) == 2
        assert "narrows[live]" in capsys.readouterr().err
