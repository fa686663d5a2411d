import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RATE_HZ = 16_000


@pytest.fixture(scope="module")
def bench():
    """Import a benchmark module the way `python benchmarks/audio.py` does."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield importlib.import_module
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def opus(bench):
    try:
        return bench("libopus").Opus()
    except RuntimeError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def sound():
    t = np.arange(RATE_HZ) / RATE_HZ
    chirp = 0.3 * np.sin(2 * np.pi * (200 * t + 400 * t * t))
    return (chirp + np.random.default_rng(1).normal(0, 0.01, t.size)).astype(np.float32)[:, np.newaxis]


def test_opus_gives_the_sound_back_in_time_and_at_its_length(bench, opus, sound):
    metrics = bench("narrows.eval.metrics.audio")
    packets = opus.encode(sound, RATE_HZ, 32_000)
    decoded = opus.decode(packets, RATE_HZ, len(sound))
    assert decoded.shape == sound.shape
    assert abs(metrics.delay_samples(sound, decoded, 800)) <= 1
    assert metrics.log_mel_distance(sound, decoded, RATE_HZ) < 4
    assert sum(map(len, packets)) == pytest.approx(32_000 / 8, rel=0.3)


def test_opus_conceals_what_is_lost(opus, sound):
    packets = opus.encode(sound, RATE_HZ, 24_000)
    holes = [None if i in (10, 11, 30) else packet for i, packet in enumerate(packets)]
    whole, concealed = (opus.decode(p, RATE_HZ, len(sound)) for p in (packets, holes))
    before = 10 * RATE_HZ * 20 // 1000 - 200
    assert np.array_equal(whole[:before], concealed[:before])
    assert not np.array_equal(whole, concealed)
    assert np.abs(concealed[before : before + 320]).max() > 0.01  # not silence


def test_constant_rate_means_equal_packets(opus, sound):
    sizes = {len(packet) for packet in opus.encode(sound, RATE_HZ, 8000, vbr="off")}
    assert sizes == {20}


def test_a_matched_peer_row_is_near_its_nominal_rate(bench, opus, sound):
    pytest.importorskip("pesq", reason="needs the extra bench")
    pytest.importorskip("pystoi", reason="needs the extra bench")
    rows = bench("audio_rows")
    clip = rows.Clip("chirp", np.tile(sound, (2, 1)), RATE_HZ)
    (row,) = rows.Store(None).peer("opus_lib", "speech", 16, [clip])
    assert row.payload_kbps == pytest.approx(16, rel=0.05)
    assert row.num_packets == 101  # 2 s and the look-ahead
    assert row.lmd_db < 6
    assert row.stoi > 0.5


def test_kept_rows_are_read_back_as_written(bench, tmp_path):
    rows = bench("audio_rows")
    row = rows.Row(
        "speech", "opus_lib", "1", "a", "b", 6.0, 6100, 100, 50, 6.0, 2, 2.5, 0.9, 0.8, 3.5, 5.0,
        1.5, 0.1, 0.01,
    )  # fmt: skip
    rows.write_csv(tmp_path / "rows.csv", [row])
    assert rows.read_csv(tmp_path / "rows.csv") == [row]


def test_importing_the_peers_needs_none_of_them():
    code = (
        "import audio_rows, audio_peers; print([p.missing or p.version for p in audio_peers.PEERS.values()])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=BENCHMARKS, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def folder(sound, tmp_path):
    soundfile = importlib.import_module("soundfile")
    for name, gain in (("loud", 1.0), ("soft", 0.3)):
        soundfile.write(tmp_path / f"{name}.wav", gain * np.tile(sound, (2, 1)), RATE_HZ, subtype="PCM_16")
    return tmp_path


def run(*arguments):
    command = [sys.executable, str(BENCHMARKS / "audio.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_tables_pair_ours_with_a_peer_at_its_bytes(bench, opus, folder, tmp_path):
    pytest.importorskip("pesq", reason="needs the extra bench")
    pytest.importorskip("pystoi", reason="needs the extra bench")
    arguments = (folder, "--codecs", "opus_lib", "--kbps", "16", "--cache", tmp_path / "kept.csv")
    done = run(*arguments, "--csv", tmp_path / "rows.csv")
    assert done.returncode == 0, done.stderr
    assert "means of 2 clips" in done.stdout
    assert "| opus_lib " in done.stdout
    rows = bench("audio_rows").read_csv(tmp_path / "rows.csv")
    theirs = {row.clip: row.payload_bytes for row in rows if row.codec == "opus_lib"}
    ours = {row.clip: row.payload_bytes for row in rows if row.codec == "speech @ opus_lib"}
    assert set(theirs) == {"loud", "soft"}
    assert set(ours) in (set(theirs), set())  # none where this narrows has no such codec
    assert all(0.98 * theirs[clip] <= spent <= theirs[clip] for clip, spent in ours.items())
    causal = run(*arguments, "--causal")
    assert causal.returncode == 0, causal.stderr
    assert "| speech @ opus_lib " in causal.stdout
    again = run(*arguments, "--ours", "none")
    cells = [
        [cell.strip() for cell in line.split("|")]
        for text in (done.stdout, again.stdout)
        for line in text.splitlines()
        if line.startswith("| opus_lib ") and "15." in line.split("|")[3]
    ]
    assert len(cells) == 2
    assert cells[0] == cells[1]  # kept, times and all


@pytest.mark.slow
def test_loss_is_measured_on_the_same_patterns(opus, folder, tmp_path):
    pytest.importorskip("pesq", reason="needs the extra bench")
    pytest.importorskip("pystoi", reason="needs the extra bench")
    done = run(folder, "--kbps", "16", "--loss", "0.2", "--burst", "2", "--cache", tmp_path / "kept.csv")
    assert done.returncode == 0, done.stderr
    assert "mean burst 2 losses, seed 1" in done.stdout
    assert "| 20 %" in done.stdout


def test_a_peer_that_does_not_exist_is_named(folder):
    done = run(folder, "--codecs", "vorbis")
    assert done.returncode == 2
    assert "no peer vorbis" in done.stderr
