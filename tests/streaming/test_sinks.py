"""Where received streams go: names of files, and what happens when a stream pauses."""

import types

import numpy as np
import pytest

import narrows
from narrows.container import Input, read_preamble
from narrows.streaming.playout import Playout
from narrows.streaming.sinks import Sinks

RATE_HZ = 16_000


def incoming(session_id):
    header = narrows.encoder("pcm", sample_rate_hz=RATE_HZ).header
    return types.SimpleNamespace(
        stream=types.SimpleNamespace(session_id=session_id, header=header),
        header=read_preamble(Input(header))[1],
        playout=Playout(narrows.decoder(header), RATE_HZ, 1),
    )


@pytest.mark.parametrize("suffix", [".wav", ".nrws"])
@pytest.mark.parametrize("force", [False, True])
def test_a_stream_that_pauses_gets_a_file_each_time(tmp_path, suffix, force):
    sinks = Sinks(str(tmp_path / f"heard{suffix}"), force=force)
    for number in range(4):
        stream = incoming(0xAB)
        write = sinks.open(stream)
        write(np.full((number + 1, 1), 0.5, np.float32))
        sinks.close(stream)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(f"heard{part}{suffix}" for part in ("", ".000000ab", ".000000ab.2", ".000000ab.3"))
    if suffix == ".wav":
        sizes = sorted(path.stat().st_size for path in tmp_path.iterdir())
        assert sizes == [44 + 4, 44 + 6, 44 + 10, 44 + 12]  # 24 bits, padded to even


def test_files_of_another_run_are_left_alone(tmp_path):
    (tmp_path / "heard.000000ab.wav").write_bytes(b"precious")
    sinks = Sinks(str(tmp_path / "heard.wav"))
    for session in (1, 0xAB):
        stream = incoming(session)
        sinks.open(stream)
        sinks.close(stream)
    assert (tmp_path / "heard.000000ab.wav").read_bytes() == b"precious"
    assert (tmp_path / "heard.000000ab.2.wav").exists()
    with pytest.raises(FileExistsError):  # the name that was asked for is not changed
        Sinks(str(tmp_path / "heard.wav")).open(incoming(1))


def test_stdout_takes_the_first_stream_only(tmp_path, capfdbinary):
    sinks = Sinks("-", sample="s16le")
    first, second = incoming(1), incoming(2)
    writers = [sinks.open(first), sinks.open(second)]
    writers[1](np.zeros((5, 1), np.float32))
    writers[0](np.full((2, 1), 0.5, np.float32))
    for stream in (first, second):
        sinks.close(stream)
    assert capfdbinary.readouterr().out == b"\x00\x40" * 2
