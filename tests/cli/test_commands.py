"""`narrows` as a script sees it: exact stdout, stderr and exit code."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from PIL import Image

import narrows
from narrows import files

NARROWS = [sys.executable, "-m", "narrows"]


def run(*arguments, cwd, stdin=None, env=None):
    """Run `narrows`; text in and out but for stdin and stdout, which may be bytes."""
    import os

    result = subprocess.run(
        [*NARROWS, *map(str, arguments)],
        cwd=cwd,
        input=stdin if stdin is not None else b"",
        capture_output=True,
        env={**os.environ, **(env or {})},
        timeout=60,
        check=False,
    )
    return result.returncode, result.stdout, result.stderr.decode()


def times_out_of(text):
    return re.sub(r"\d+(\.\d+)? s$", "T s", text, flags=re.MULTILINE)


@pytest.fixture
def folder(tmp_path):
    pixels = np.add.outer(np.arange(48), np.arange(64)).astype(np.uint8)[:, :, None] * np.array(
        [1, 2, 3], np.uint8
    )
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    (tmp_path / "notes.txt").write_bytes(b"to be or not to be, that is the question\n" * 40)
    return tmp_path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_encode_says_what_became_of_a_picture(folder):
    code, out, err = run("encode", "photo.png", "-q", "60", cwd=folder)
    size = (folder / "photo.png.nrws").stat().st_size
    assert (code, out) == (0, b"")
    bpp = size * 8 / (64 * 48)
    assert times_out_of(err) == f"photo.png.nrws  64x48  {size:,} bytes  {bpp:.3f} bpp  wave  T s\n"
    assert names(folder) == ["notes.txt", "photo.png", "photo.png.nrws"]


def test_encode_takes_other_files_as_bytes_and_decode_restores_them(folder):
    before = (folder / "notes.txt").read_bytes()
    code, _, err = run("encode", "notes.txt", cwd=folder)
    size = (folder / "notes.txt.nrws").stat().st_size
    percent = 100 * size / len(before)
    expected = f"notes.txt.nrws  {len(before):,} -> {size:,} bytes  {percent:.1f} %  bytes  T s\n"
    assert (code, times_out_of(err)) == (0, expected)
    (folder / "notes.txt").unlink()
    code, out, err = run("decode", "notes.txt.nrws", cwd=folder)
    assert (code, out) == (0, b"")
    assert times_out_of(err) == f"notes.txt  {len(before):,} bytes  T s\n"
    assert (folder / "notes.txt").read_bytes() == before


def test_decode_puts_the_plain_extension(folder):
    files.write(files.read(folder / "photo.png"), folder / "pic.jpg")
    run("encode", "pic.jpg", cwd=folder)
    code, _, err = run("decode", "pic.jpg.nrws", cwd=folder)
    assert code == 0, err
    assert files.read(folder / "pic.png").pixels.shape == (48, 64, 3)
    code, _, err = run("decode", "pic.jpg.nrws", "-o", "small.webp", "--scale", "1/4", cwd=folder)
    assert code == 0, err
    assert files.read(folder / "small.webp").pixels.shape == (12, 16, 3)


def test_a_codec_decides_how_the_file_is_read(folder):
    for options in (["--codec", "bytes"], ["--as", "bytes"]):
        assert run("encode", "photo.png", "-f", *options, cwd=folder)[0] == 0
        stored = narrows.decode((folder / "photo.png.nrws").read_bytes())
        assert stored.data == (folder / "photo.png").read_bytes()
    code, _, err = run("encode", "notes.txt", "--codec", "wave", cwd=folder)
    assert (code, err) == (2, "narrows: error: notes.txt: not a picture of a known format\n")


def test_damaged_sound_is_refused_and_can_be_stored_as_it_is(folder):
    (folder / "a.mp3").write_bytes(b"ID3 and then nothing that a sound library reads")
    code, _, err = run("encode", "a.mp3", cwd=folder)
    assert code == 2
    assert "--as bytes" in err
    code, _, err = run("encode", "a.mp3", "--as", "bytes", cwd=folder)
    assert code == 0, err
    assert narrows.info(folder / "a.mp3.nrws").codec == "bytes"


def test_sound_by_rate_and_back(folder):
    samples = (np.sin(np.arange(24_000) / 9) * 9_000).astype(np.int16)
    soundfile.write(folder / "talk.wav", samples, 16_000)
    for options in (["--kbps", "6"], ["-q", "40"], ["--codec", "speech:kbps=8,constant"]):
        code, _, err = run("encode", "talk.wav", "-f", *options, cwd=folder)
        assert code == 0, err
        info = narrows.info(folder / "talk.wav.nrws")
        assert (info.codec, info.dims["num_samples"]) == ("speech", 24_000)
    code, _, err = run(
        "decode", "talk.wav.nrws", "-o", "part.wav", "--start", "0.5", "--stop", "1", cwd=folder
    )
    assert code == 0, err
    part, rate = soundfile.read(folder / "part.wav", dtype="float32", always_2d=True)
    whole = narrows.decode((folder / "talk.wav.nrws").read_bytes())
    assert (rate, whole.sample_rate_hz) == (16_000, 16_000)
    assert np.array_equal(part, whole.samples[8_000:16_000])


def test_nothing_is_overwritten_without_force(folder):
    run("encode", "notes.txt", cwd=folder)
    (folder / "notes.txt.nrws").write_bytes(b"precious")
    code, _, err = run("encode", "notes.txt", cwd=folder)
    assert code == 2
    assert err == "narrows: error: notes.txt.nrws exists\nnarrows: hint: -f overwrites\n"
    assert (folder / "notes.txt.nrws").read_bytes() == b"precious"
    code, _, _ = run("encode", "notes.txt", "-f", cwd=folder)
    assert code == 0
    assert (
        narrows.decode((folder / "notes.txt.nrws").read_bytes()).data == (folder / "notes.txt").read_bytes()
    )


def test_streams_go_through_pipes(folder):
    original = (folder / "notes.txt").read_bytes()
    code, coded, err = run("encode", "-", cwd=folder, stdin=original)
    assert code == 0
    assert err.startswith("stdout  ")
    assert coded == narrows.encode(original)
    code, out, err = run("decode", "-", cwd=folder, stdin=coded)
    assert (code, out, err) == (0, original, "")
    code, coded, _ = run("encode", "photo.png", "--lossless", "-o", "-", cwd=folder)
    code, out, _ = run("decode", "-", "-o", "-", cwd=folder, stdin=coded)
    assert out.startswith(b"\x89PNG")
    shell = f"{' '.join(NARROWS)} encode --lossless - <photo.png | {' '.join(NARROWS)} decode - -o back.png"
    subprocess.run(["bash", "-ec", f"set -o pipefail; {shell}"], cwd=folder, check=True, capture_output=True)
    assert np.array_equal(
        np.asarray(Image.open(folder / "back.png")), np.asarray(Image.open(folder / "photo.png"))
    )


def test_many_inputs_go_on_after_a_failure_and_give_the_worst_code(folder):
    (folder / "out").mkdir()
    code, _, err = run("encode", "missing", "photo.png", "notes.txt", "--output-dir", "out", cwd=folder)
    assert code == 2
    assert err.splitlines()[0] == "narrows: error: missing: no such file or directory"
    assert names(folder / "out") == ["notes.txt.nrws", "photo.png.nrws"]


def test_two_inputs_never_become_one_output(folder):
    for sub in ("a", "b", "out"):
        (folder / sub).mkdir()
    (folder / "a" / "x").write_bytes(b"a")
    (folder / "b" / "x").write_bytes(b"b")
    code, _, err = run("encode", "a/x", "b/x", "-f", "--output-dir", "out", cwd=folder)
    assert code == 2
    assert "b/x: another input has already become out/x.nrws" in err
    assert narrows.decode((folder / "out" / "x.nrws").read_bytes()).data == b"a"


def test_info_says_what_a_stream_is(folder):
    run("encode", "photo.png", "notes.txt", cwd=folder)
    code, out, err = run("info", "photo.png.nrws", cwd=folder)
    assert (code, err) == (0, "")
    assert out.decode().startswith("image 64x48x3 8-bit sRGB   codec wave/1")
    code, out, _ = run("info", "photo.png.nrws", "notes.txt.nrws", "--json", cwd=folder)
    first, second = map(json.loads, out.decode().splitlines())
    assert next(iter(first.items())) == ("schema", "narrows.info/1")
    assert first["dims"] == {"width": 64, "height": 48, "channels": 3, "bit_depth": 8, "color": 1}
    assert second["codec"] == "bytes"
    assert second["num_bytes"] == (folder / "notes.txt.nrws").stat().st_size
    code, out, _ = run("info", "notes.txt.nrws", "--chunks", cwd=folder)
    assert [line.split()[1] for line in out.decode().splitlines()[2:]][-1] == "END"


def test_verify_tells_sound_from_damaged_by_its_exit_code(folder):
    run("encode", "notes.txt", cwd=folder)
    code, out, err = run("verify", "notes.txt.nrws", cwd=folder)
    assert (code, err) == (0, "")
    assert re.fullmatch(r"notes\.txt\.nrws  ok  \d+ chunks\n", out.decode())
    data = bytearray((folder / "notes.txt.nrws").read_bytes())
    data[len(data) // 2] ^= 4
    (folder / "bad.nrws").write_bytes(data)
    code, out, err = run("verify", "bad.nrws", "notes.txt.nrws", cwd=folder)
    assert (code, err) == (1, "")
    lines = out.decode().splitlines()
    assert re.fullmatch(r"bad\.nrws  failed  (chunk \d+ at )?byte \d+: .*", lines[0])
    assert lines[1].startswith("notes.txt.nrws  ok")
    code, out, _ = run("verify", "notes.txt.nrws", "--against", "photo.png", "--json", cwd=folder)
    assert code == 1
    assert json.loads(out)["problems"] == ["the decoded signal differs from the original"]


def test_strip_keeps_the_profile_and_drops_the_camera(folder):
    exif = Image.Exif()
    exif[0x010F] = "maker"
    Image.new("RGB", (9, 9)).save(folder / "p.webp", exif=exif, icc_profile=b"profile", lossless=True)
    run("encode", "p.webp", cwd=folder)
    run("encode", "p.webp", "--strip", "-o", "stripped.nrws", cwd=folder)
    assert set(narrows.info(folder / "p.webp.nrws").metadata) == {"icc", "exif"}
    assert set(narrows.info(folder / "stripped.nrws").metadata) == {"icc"}


def test_json_quiet_and_verbose(folder):
    code, out, err = run("encode", "notes.txt", "--json", cwd=folder)
    assert (code, err) == (0, "")
    row = json.loads(out)
    assert list(row)[:3] == ["schema", "input", "output"]
    assert row["schema"] == "narrows.encode/1"
    code, out, err = run("encode", "notes.txt", "-f", "--quiet", cwd=folder)
    assert (code, out, err) == (0, b"", "")
    code, out, err = run("encode", "notes.txt", "--json", "-o", "-", cwd=folder)
    assert (code, out) == (2, b"")
    assert "--json needs -o FILE" in err


def test_version_and_help_are_quick_and_need_no_torch(folder):
    code, out, _ = run("-V", cwd=folder)
    assert code == 0
    assert re.fullmatch(rf"narrows {re.escape(narrows.__version__)}  format 1  core \w+\n", out.decode())
    probe = (
        "import sys; from narrows.cli.main import main\n"
        "try: main(['--help'])\n"
        "finally: assert not {'torch', 'PIL', 'numpy'} & set(sys.modules), sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, check=True, cwd=folder)
    assert b"exit codes: 0 done" in done.stdout


@pytest.mark.parametrize(
    "command", ["encode", "decode", "info", "verify", "models", "list", "bench", "train", "demo"]
)
def test_every_command_has_help(command, capsys):
    from narrows.cli.main import main

    assert main([command, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: narrows {command}")


def test_threads_do_not_change_the_bytes(folder):
    for threads in ("1", "2", "7", "0"):
        run("encode", "photo.png", "-T", threads, "-o", f"{threads}.nrws", cwd=folder)
    assert len({(folder / f"{threads}.nrws").read_bytes() for threads in ("1", "2", "7", "0")}) == 1


def test_list_and_models(folder):
    code, out, _ = run("list", cwd=folder)
    assert code == 0
    assert {line.split()[0] for line in out.decode().splitlines()} >= {"bytes/1", "wave/1"}
    home = {"NARROWS_HOME": str(folder / "home")}
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(3, np.float32)}, folder / "x.safetensors", metadata={"licence": "CC0"})
    import hashlib

    digest = hashlib.sha256((folder / "x.safetensors").read_bytes()).hexdigest()[:16]
    (folder / "x.safetensors").rename(folder / f"toy-{digest}.safetensors")
    code, _, err = run("models", "add", f"toy-{digest}.safetensors", cwd=folder, env=home)
    assert code == 0, err
    code, out, _ = run("models", "list", cwd=folder, env=home)
    assert f"toy-{digest}  " in out.decode()
    code, out, _ = run("models", "path", "toy", cwd=folder, env=home)
    installed = folder / "home" / "models" / f"toy-{digest}.safetensors"
    assert out.decode().strip() == str(installed)
    code, out, _ = run("models", "show", "toy", "--json", cwd=folder, env=home)
    assert json.loads(out)["metadata"] == {"licence": "CC0"}
    installed.write_bytes(installed.read_bytes()[:-1] + b"?")
    code, out, _ = run("models", "check", cwd=folder, env=home)
    assert code == 1
    assert "failed" in out.decode()
    code, _, err = run("models", "show", "nothing", cwd=folder, env=home)
    assert code == 2
    assert err.endswith("narrows: hint: narrows models add FILE\n")


def test_demo_shows_the_tour(tmp_path):
    import os
    import tempfile

    before = set(os.listdir(tempfile.gettempdir()))
    code, out, err = run("demo", cwd=tmp_path)
    assert (code, err) == (0, "")
    assert "every pixel as it was" in out.decode()
    assert "DIFFER" not in out.decode()
    assert "DAMAGED" not in out.decode()
    left = {
        name for name in set(os.listdir(tempfile.gettempdir())) - before if name.startswith("narrows-demo")
    }
    assert not left
