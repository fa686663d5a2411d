"""Whatever goes wrong: one clear line, the right exit code, nothing half-written."""

import contextlib
import os
import pty
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

import narrows

NARROWS = [sys.executable, "-m", "narrows"]
HELLO = bytes.fromhex(
    "894e52570100 0b 000562797465730100050009745c1c 0109000005 0068656c6c6ff2f5cca2 7f0101e5e48f9b"
)


def run(*arguments, cwd, stdin=b"", **env):
    result = subprocess.run(
        [*NARROWS, *map(str, arguments)],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        env={**os.environ, **env},
        timeout=60,
        check=False,
    )
    return result.returncode, result.stdout, result.stderr.decode()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def with_size(width, height):
    """A stream of an RGB picture with one byte of data, every checksum good."""
    from narrows._core import crc32c

    def varint(value):
        low, rest = value & 127, value >> 7
        return bytes([low | 128]) + varint(rest) if rest else bytes([low])

    header = b"\1\4wave\1\0" + varint(width) + varint(height) + b"\3\x08\1" + b"\0"
    preamble = HELLO[:6] + varint(len(header)) + header
    entry = b"\0\0" + varint(height)
    parts = (preamble, b"\1" + varint(len(entry) + 1) + entry + b"?", b"\x7f\1\1")
    return b"".join(part + crc32c(part).to_bytes(4, "little") for part in parts)


BAD_INPUT = {
    "missing": (None, "decode", "no such file or directory"),
    "empty": (b"", "decode", "ends early"),
    "truncated": (HELLO[:30], "decode", "ends early"),
    "magic": (b"PK\3\4" + HELLO[4:], "decode", "not a Narrows stream: the first bytes are not 89 4e 52 57"),
    "version": (HELLO[:4] + b"\2" + HELLO[5:], "decode", "version 2"),
    "checksum": (HELLO[:-8] + b"\0" + HELLO[-7:], "decode", "checksum differs"),
    "behind the end": (HELLO + b"x", "decode", "bytes behind END"),
    "zero size": (with_size(0, 1), "decode", "width"),
    "absurd size": (with_size(2**20, 2**20), "decode", "max_pixels is 268,435,456"),
    "damaged picture": (b"\x89PNG\r\n\x1a\n" + bytes(80), "encode", "PNG: "),
    "cut picture": (b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(70), "encode", "JPEG: "),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_line_and_exit_2(case, tmp_path):
    content, command, words = BAD_INPUT[case]
    if content is not None:
        (tmp_path / "in.nrws").write_bytes(content)
    before = names(tmp_path)
    code, out, err = run(command, "in.nrws", "-o", "out.png", cwd=tmp_path)
    assert (code, out) == (2, b""), err
    first, *hints = err.splitlines()
    assert first.startswith("narrows: error: in.nrws: ")
    assert words in first
    assert all(line.startswith("narrows: hint: ") for line in hints)
    assert len(hints) <= 1
    assert names(tmp_path) == before


@pytest.mark.parametrize("command", ["encode", "decode", "info", "verify"])
def test_a_directory_and_a_missing_file(command, tmp_path):
    for name, words in ((".", "is a directory"), ("none", "no such file or directory")):
        code, out, err = run(command, name, cwd=tmp_path)
        assert (code, out, err) == (2, b"", f"narrows: error: {name}: {words}\n")
    assert names(tmp_path) == []


def test_every_prefix_of_a_stream_is_refused(tmp_path):
    for size in range(len(HELLO)):
        with pytest.raises(narrows.StreamError):
            narrows.decode(HELLO[:size])
    (tmp_path / "a.nrws").write_bytes(HELLO[:40])
    code, _, err = run("decode", "-", cwd=tmp_path, stdin=HELLO[:40])
    assert code == 2
    assert err.startswith("narrows: error: stdin: ")
    code, _, err = run("verify", "a.nrws", cwd=tmp_path)
    assert (code, err) == (1, "")


def test_partial_gives_what_is_whole_and_exit_1(tmp_path):
    (tmp_path / "cut.nrws").write_bytes(HELLO[:37])
    code, _, err = run("decode", "cut.nrws", "--partial", "-o", "out", cwd=tmp_path)
    assert code == 1
    assert (tmp_path / "out").read_bytes() == b"hello"
    assert err.startswith("narrows: warning: cut.nrws: ")


def test_partial_leaves_out_the_chunk_of_a_flipped_bit(tmp_path):
    given = np.random.default_rng(3).bytes(9_500_000)
    changed = bytearray(narrows.encode(given))
    changed[5_000_000] ^= 1
    (tmp_path / "a.nrws").write_bytes(changed)
    code, _, err = run("decode", "a.nrws", "--partial", "-o", "out", cwd=tmp_path)
    assert code == 1
    assert err.startswith("narrows: warning: a.nrws: ")
    left = (tmp_path / "out").read_bytes()
    assert given.startswith(left[:4_000_000])
    assert given.endswith(left[-1_000_000:])


def sound_file(path, seconds=1.0, rate=16_000):
    time_s = np.arange(round(seconds * rate)) / rate
    narrows.files.write(narrows.Audio((np.sin(900 * time_s) / 2).astype(np.float32), rate), path)
    return path


@pytest.mark.parametrize("where", ["1", "1.5", "100"])
@pytest.mark.parametrize("live", [False, True])
def test_a_part_behind_the_end_is_refused(tmp_path, where, live):
    sound_file(tmp_path / "a.wav")
    made = ("stream", "encode", "a.wav", "-o", "a.nrws") if live else ("encode", "a.wav", "-o", "a.nrws")
    assert run(*made, cwd=tmp_path)[0] == 0
    code, _, err = run("decode", "a.nrws", "--start", where, "-o", "b.wav", cwd=tmp_path)
    end = "" if live else ": it ends at 1"
    assert (code, err) == (2, f"narrows: error: a.nrws: nothing is there from second {where} on{end}\n")
    assert names(tmp_path) == ["a.nrws", "a.wav"]


@pytest.mark.parametrize("command", ["encode", "decode", "stream encode", "stream decode"])
def test_a_full_disk_is_the_outputs(tmp_path, command):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    sound_file(tmp_path / "a.wav")
    assert run("encode", "a.wav", "-o", "a.nrws", cwd=tmp_path)[0] == 0
    source = "a.wav" if "encode" in command else "a.nrws"
    code, _, err = run(*command.split(), source, "-o", "/dev/full", cwd=tmp_path)
    assert (code, err) == (2, "narrows: error: /dev/full: no space left on device\n")


def test_a_sound_file_cut_in_its_head_is_named(tmp_path):
    head = sound_file(tmp_path / "a.wav").read_bytes()[:30]
    (tmp_path / "cut.wav").write_bytes(head)
    code, _, err = run("encode", "cut.wav", cwd=tmp_path)
    assert code == 2
    assert err.startswith("narrows: error: cut.wav: a sound file that cannot be read: ")
    assert "<" not in err
    code, _, err = run("stream", "encode", "cut.wav", "-o", "b.nrws", cwd=tmp_path)
    assert (code, err) == (2, "narrows: error: cut.wav: the format of a WAV file is cut\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("", "the following arguments are required: COMMAND"),
        ("encode", "the following arguments are required: INPUT"),
        ("encode a --quality 5 --bpp 1", "not allowed with argument"),
        ("encode a --nonsense", "unrecognized arguments: --nonsense"),
        ("frobnicate", "invalid choice: 'frobnicate'"),
        ("decode a --scale x", "argument --scale: invalid"),
        ("decode a --scale 1/0", "argument --scale: invalid"),
        ("encode a --max-pixels 5Q", "argument --max-pixels: invalid"),
        ("encode a -q 50", "bytes has no option quality"),
        ("encode a --codec nothing", "there is no codec named 'nothing'"),
        ("encode a --as smell", "no medium 'smell'; known: image, audio, bytes"),
        ("encode a a -o x", "-o names one output, but there are 2 inputs"),
        ("encode a -o x --output-dir .", "give one"),
        ("encode a a --output-dir nowhere", "--output-dir nowhere is not a folder"),
        ("decode a a --output-dir a", "--output-dir a is not a folder"),
        ("tokenize a a -t vq --output-dir nowhere", "--output-dir nowhere is not a folder"),
        ("encode a -o a -f", "input and output are the same file"),
        ("encode - --output-dir .", "stdin has no name to use in a folder"),
        ("decode a", "not a Narrows stream"),
        ("verify a a --against b", "--against takes one input"),
        ("train no-such-recipe", "there is no recipe 'no-such-recipe'"),
        ("models show", "models show takes one NAME or FILE"),
        ("models show nothing", "no model 'nothing' is installed"),
    ],
)
def test_usage_errors_are_one_line_and_at_most_one_hint(arguments, words, tmp_path, monkeypatch, capfd):
    from narrows.cli.main import main

    (tmp_path / "a").write_bytes(b"a")
    monkeypatch.chdir(tmp_path)
    assert main(arguments.split()) == 2
    out, err = capfd.readouterr()
    first, *hints = err.splitlines()
    assert out == ""
    assert first.startswith("narrows: error: ")
    assert words in first
    assert [line[:15] for line in hints] in ([], ["narrows: hint: "])
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"a"


def test_a_name_without_nrws_needs_an_output(tmp_path):
    (tmp_path / "stream").write_bytes(HELLO)
    code, _, err = run("decode", "stream", cwd=tmp_path)
    assert code == 2
    assert err.endswith("narrows: hint: -o NAME does\n")
    assert run("decode", "stream", "-o", "x", cwd=tmp_path)[0] == 0
    assert (tmp_path / "x").read_bytes() == b"hello"


def test_animations_are_refused_with_their_frame_count(tmp_path):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "green", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    code, _, err = run("encode", "a.gif", cwd=tmp_path)
    assert code == 2
    first, hint = err.splitlines()
    assert first == "narrows: error: a.gif: GIF with 3 frames; animations are not coded yet"
    assert hint.startswith("narrows: hint: --as bytes")


def test_limits_are_raised_by_options(tmp_path):
    Image.new("L", (100, 100)).save(tmp_path / "a.png")
    code, _, err = run("encode", "a.png", "--max-pixels", "9999", cwd=tmp_path)
    assert code == 2
    first, hint = err.splitlines()
    assert first == "narrows: error: a.png: max_pixels is 9,999, this needs 10,000"
    assert hint.startswith("narrows: hint: raise it with --max-pixels 10000")
    assert run("encode", "a.png", "--max-pixels", "10k", cwd=tmp_path)[0] == 0


def test_bad_environment_values_are_warned_of_and_ignored(tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    code, _, err = run("encode", "a", "--quiet", cwd=tmp_path, NARROWS_THREADS="many", NARROWS_ISA="sse9")
    assert code == 0
    assert err.splitlines() == [
        "narrows: warning: NARROWS_ISA=sse9 is none of scalar, avx2, avx512, neon; ignored",
        "narrows: warning: NARROWS_THREADS=many is not a number of threads; ignored",
    ]


def test_an_instruction_set_that_is_not_there_is_refused(tmp_path):
    from narrows import _core

    missing = {"avx2", "avx512", "neon"} - set(_core.available_isas())
    (tmp_path / "a").write_bytes(b"a")
    for isa in missing:
        code, _, err = run("encode", "a", cwd=tmp_path, NARROWS_ISA=isa)
        assert code == 2
        assert err.startswith(f"narrows: error: NARROWS_ISA={isa}: this CPU has only ")
    assert missing  # no machine has both AVX-512 and NEON


def test_debug_shows_where(tmp_path):
    code, _, err = run("decode", "none", cwd=tmp_path, NARROWS_DEBUG="1")
    assert code == 2
    assert "Traceback" in err
    assert err.endswith("narrows: error: none: no such file or directory\n")


def test_names_cannot_steer_the_terminal(tmp_path):
    code, _, err = run("decode", "a\x1b[31m\nb", cwd=tmp_path)
    assert code == 2
    assert err == "narrows: error: a\\x1b[31m\\nb: no such file or directory\n"


def test_unwritable_and_missing_output_folders(tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    code, _, err = run("encode", "a", "-o", "no/such/x.nrws", cwd=tmp_path)
    assert (code, err) == (2, "narrows: error: no/such/x.nrws: no such file or directory\n")
    code, _, err = run("encode", "a", "-o", "a/x.nrws", cwd=tmp_path)
    assert (code, err) == (2, "narrows: error: a/x.nrws: not a directory\n")
    code, _, err = run("encode", "a", "-o", ".", cwd=tmp_path)
    assert (code, err) == (2, "narrows: error: .: is a directory\n")


def test_a_full_stdout_is_one_line(tmp_path):
    (tmp_path / "a").write_bytes(os.urandom(300_000))
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*NARROWS, "encode", "a", "-o", "-"],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == b"narrows: error: a: no space left on device\n"


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_a_full_disk_leaves_nothing(command, tmp_path):
    noise = np.random.default_rng(1).integers(0, 256, 400_000, np.uint8).tobytes()
    (tmp_path / "big").write_bytes(noise)
    (tmp_path / "big.nrws").write_bytes(narrows.encode(noise))
    small = tmp_path / "small"
    small.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", small], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("a small tmpfs cannot be mounted here")
    try:
        source = "big" if command == "encode" else "big.nrws"
        code, _, err = run(command, source, "-o", "small/out", cwd=tmp_path)
        assert (code, err) == (2, "narrows: error: small/out: no space left on device\n")
        assert names(small) == []
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_closed_pipe_is_quiet(tmp_path):
    (tmp_path / "a").write_bytes(os.urandom(2_000_000))
    process = subprocess.Popen(
        [*NARROWS, "encode", "a", "-o", "-"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.read(1)
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(30), err) == (141, b"")


def slow_encode(folder, *, part_exists=True):
    """Start an encode that takes long, and return when it is at it."""
    (folder / "big").write_bytes(os.urandom(64_000_000))
    process = subprocess.Popen(
        [*NARROWS, "encode", "big"],
        cwd=folder,
        stderr=subprocess.PIPE,
        # A test run in the background of a shell has Ctrl-C ignored, and its children too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    end = time.monotonic() + 30
    while not list(folder.glob(".big.nrws.*.part")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.01)
    return process


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupts_remove_the_part_at_once(number, expected, tmp_path):
    process = slow_encode(tmp_path)
    process.send_signal(number)
    began = time.monotonic()
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - began < 5  # and not the half minute that the work takes
    assert (process.returncode, err) == (expected, b"")
    assert names(tmp_path) == ["big"]


def test_kill_leaves_nothing_under_the_name(tmp_path):
    process = slow_encode(tmp_path)
    process.kill()
    process.communicate()
    assert [name for name in names(tmp_path) if not name.endswith(".part")] == ["big"]


def on_a_terminal(command, *, cwd):
    """Run with stdout and stderr on a terminal; return the exit code and all that it shows."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):
        while part := os.read(ours, 4096):
            shown += part
    os.close(ours)
    return process.wait(30), shown


def test_binary_is_refused_by_a_terminal_unless_asked_for(tmp_path):
    code, shown = on_a_terminal([*NARROWS, "encode", "-"], cwd=tmp_path)
    assert code == 2
    assert b"stdout is a terminal, and the output is binary" in shown
    (tmp_path / "a.nrws").write_bytes(HELLO)
    code, shown = on_a_terminal([*NARROWS, "decode", "a.nrws", "-o", "-", "--no-progress"], cwd=tmp_path)
    assert (code, shown) == (0, b"hello")


def test_color_is_for_terminals_that_want_it(tmp_path, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    assert b"\x1b[1;31merror:\x1b[0m" in on_a_terminal([*NARROWS, "decode", "none"], cwd=tmp_path)[1]
    monkeypatch.setenv("NO_COLOR", "1")
    assert b"\x1b" not in on_a_terminal([*NARROWS, "decode", "none"], cwd=tmp_path)[1]
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert b"\x1b" not in on_a_terminal([*NARROWS, "decode", "none"], cwd=tmp_path)[1]


WATCHED = """
import sys, time
from narrows.cli.terminal import Terminal
from narrows.cli.work import watched
watched(Terminal(), "encoding a\\x1b", lambda: time.sleep(float(sys.argv[1])))
"""


def test_progress_is_for_terminals_and_long_work(tmp_path):
    command = [sys.executable, "-c", WATCHED]
    assert on_a_terminal([*command, "0"], cwd=tmp_path) == (0, b"")
    code, shown = on_a_terminal([*command, "1.6"], cwd=tmp_path)
    assert code == 0
    assert b"\r\x1b[2Kencoding a\\x1b  1 s" in shown
    assert shown.endswith(b"\r\x1b[2K")
    done = subprocess.run([*command, "1.6"], capture_output=True, check=True, cwd=tmp_path)
    assert done.stderr == b""
