"""Weights files: found in order, checked whole, never unpickled."""

from __future__ import annotations

import hashlib
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

import narrows
from narrows import models


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NARROWS_HOME", str(tmp_path / "home"))
    return tmp_path


def written(folder: Path, data: bytes, name: str = "net", hash: str = "") -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    path = folder / f"{name}-{hash or hashlib.sha256(data).hexdigest()[:16]}.safetensors"
    path.write_bytes(data)
    return path


WEIGHTS = {"a": np.arange(6, dtype=np.int8).reshape(2, 3)}
DATA = save(WEIGHTS, metadata={"codec": "net", "licence": "CC0"})


def test_an_added_model_is_found_checked_and_loaded(place: Path) -> None:
    path = written(place, DATA)
    (place / "net.md").write_text("a card")
    model = models.add(path)
    assert model.path == models.home() / path.name
    assert (models.home() / "net.md").read_text() == "a card"
    assert model in models.installed()
    assert np.array_equal(models.load("net", model.hash)["a"], WEIGHTS["a"])
    assert np.array_equal(models.load("net", bytes.fromhex(model.hash))["a"], WEIGHTS["a"])
    assert models.metadata(model.path)["licence"] == "CC0"
    assert not list(models.home().glob("*.part"))


def test_a_path_can_be_given_instead(place: Path) -> None:
    path = written(place / "elsewhere", DATA)
    model = models.check(path)
    for given in (path, path.parent):
        assert models.find("net", model.hash, [given]).path == path


def test_a_missing_model_is_named(place: Path) -> None:
    with pytest.raises(narrows.ModelNotFound, match="needs model 00112233aabbccdd") as caught:
        models.load("net", "00112233aabbccdd")
    assert caught.value.hint == "narrows models add FILE"
    assert isinstance(caught.value, LookupError)


BAD = {
    "pickled": pickle.dumps(WEIGHTS),
    "empty": b"",
    "short": b"\x10\0\0",
    "header beyond the file": struct.pack("<Q", 10**9) + b"{}",
    "header of no JSON": struct.pack("<Q", 4) + b"abcd",
    "header of a list": struct.pack("<Q", 2) + b"[]",
    "deep header": struct.pack("<Q", 200_000) + b"[" * 200_000,
}


@pytest.mark.parametrize("data", BAD.values(), ids=list(BAD))
def test_what_is_no_safetensors_file_is_refused(place: Path, data: bytes) -> None:
    path = written(place, data)
    with pytest.raises(narrows.ModelError) as caught:
        models.add(path)
    assert caught.value.path == str(path)
    assert isinstance(caught.value, ValueError)
    with pytest.raises(narrows.ModelError):
        models.load("net", path.name.split("-")[1][:16], [path])


def test_a_cut_or_changed_file_is_refused(place: Path) -> None:
    hash = hashlib.sha256(DATA).hexdigest()[:16]
    for data in (DATA[:-1], DATA[:-1] + b"\x63", DATA + b"\0"):
        path = written(place, data, hash=hash)
        with pytest.raises(narrows.ModelError, match="damaged or renamed"):
            models.load("net", hash, [path])
        with pytest.raises(narrows.ModelError):
            models.add(path)
    assert models.installed() == [m for m in models.installed() if m.path.parent == models.EMBEDDED]


def test_a_name_without_a_hash_is_refused(place: Path) -> None:
    path = place / "weights.safetensors"
    path.write_bytes(DATA)
    with pytest.raises(narrows.ModelError, match="NAME-HASH"):
        models.add(path)


def test_the_home_follows_the_environment(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert models.home() == place / "home" / "models"
    monkeypatch.delenv("NARROWS_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(place))
    assert models.home() == place / "narrows" / "models"


def test_embedded_models_are_whole_and_have_a_card() -> None:
    for path in models.EMBEDDED.glob("*.safetensors"):
        model = models.check(path)
        assert (models.EMBEDDED / f"{model.name}.md").is_file()
