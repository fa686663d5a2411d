"""`narrows tokenize` and `detokenize`."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from narrows.cli.main import main

NAME = "walloc"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    y, x = np.mgrid[0:30, 0:44]
    planes = np.stack([128 + 60 * np.sin(x / 6), 128 + 60 * np.cos(y / 5), 128 + x], 2)
    path = tmp_path / "photo.png"
    Image.fromarray(planes.clip(0, 255).astype(np.uint8)).save(path)
    return path


@pytest.mark.parametrize("form", ["npz", "jsonl"])
def test_ids_go_to_a_file_and_back(photo: Path, tmp_path: Path, form: str) -> None:
    ids, back = tmp_path / f"ids.{form}", tmp_path / "back.png"
    assert main(["tokenize", str(photo), "-t", NAME, "-q", "90", "-o", str(ids)]) == 0
    assert main(["detokenize", str(ids), "-o", str(back)]) == 0
    before, after = (np.asarray(Image.open(path), float) for path in (photo, back))
    assert before.shape == after.shape
    assert np.square(before - after).mean() < np.square(before - before.mean((0, 1))).mean() / 4


def test_names_follow_the_inputs(photo: Path, tmp_path: Path) -> None:
    assert main(["tokenize", str(photo), "-t", NAME]) == 0
    assert (tmp_path / "photo.png.npz").is_file()
    assert main(["tokenize", str(photo), "-t", NAME]) == 2
    assert main(["tokenize", str(photo), "-t", NAME, "-f"]) == 0


def test_ids_alone_and_latents(photo: Path, tmp_path: Path) -> None:
    assert main(["tokenize", str(photo), "-t", NAME, "-o", str(tmp_path / "a.npy")]) == 0
    assert np.load(tmp_path / "a.npy").shape == (24, 4 * 6)
    assert main(["tokenize", str(photo), "-t", NAME, "--latents", "-o", str(tmp_path / "b.npy")]) == 0
    latents = np.load(tmp_path / "b.npy")
    assert latents.dtype == np.float32
    assert latents.shape == (24, 4, 6)


def test_what_cannot_be_done_is_said(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tokenize", str(photo), "-t", "none"]) == 2
    assert "no tokenizer named" in capsys.readouterr().err
    assert main(["tokenize", str(photo), "-t", NAME, "-o", str(tmp_path / "a.txt")]) == 2
    assert ".npz, .jsonl or .npy" in capsys.readouterr().err
    assert main(["tokenize", str(photo), "-t", NAME, "-q", "200", "-f"]) == 2
    array = io.BytesIO()
    np.save(array, np.zeros(3))
    for content in (
        b"",
        b"hello",
        array.getvalue(),
        b"{}",
        b"PK\x03\x04",
        json.dumps({"ids": [[1]], "vocab_size": 255}).encode(),
    ):
        (tmp_path / "bad.npz").write_bytes(content)
        assert main(["detokenize", str(tmp_path / "bad.npz"), "-o", str(tmp_path / "x.png")]) == 2
        said = capsys.readouterr().err
        assert "no ids that tokenize wrote" in said
        assert "pickle" not in said
