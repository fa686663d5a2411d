"""`narrows train` of image tokenizers: a run that was stopped goes on to the very same weights file."""

from __future__ import annotations

import csv
import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

import narrows  # noqa: E402
from narrows.cli.main import main  # noqa: E402
from narrows.tokenizers import image  # noqa: E402
from narrows.training import loop, pictures, ship, tokenizer  # noqa: E402

TINY = ["channels=4", "width=8", "codes=8", "batch=4", "side=4", "steps=6", "prior_steps=30"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `images_train`: four pictures of two authors, of whom the first is held out."""
    root = tmp_path_factory.mktemp("data")
    folder = root / "images_train"
    folder.mkdir()
    rng = np.random.default_rng(5)
    y, x = np.mgrid[0:256, 0:256]
    with (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "author", "source"])
        for number in range(4):
            waves = [np.sin(x / rng.uniform(5, 30) + y / rng.uniform(5, 30)) for _ in range(3)]
            pixels = 128 + 70 * np.stack(waves, 2) + rng.normal(0, 8, (256, 256, 1))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")
            writer.writerow([f"{number}.png", "held" if number == 0 else "kept", "the test"])
    return root


def trained(kind: str, data: Path, out: Path, *more: str, ends_with: int = 0) -> list[Path]:
    """Train by the recipe `kind`, made small, and return the weights files in `out`."""
    assert main(["train", kind, f"data={data}", f"out={out}", *TINY, *more]) == ends_with
    return sorted(out.glob("*.safetensors"))


@pytest.mark.parametrize("kind", ["vq", "walloc"])
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(
    kind: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (whole,) = trained(kind, data, tmp_path / "whole")
    loss = tokenizer.Body.loss
    calls = []

    def stopping(body: Any, x: Any, rng: Any) -> Any:
        calls.append(rng)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return loss(body, x, rng)

    def counting(*given: Any) -> Any:
        steps.append(len(steps))
        return loss(*given)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_CHECKPOINT_S", 0.0)
        patch.setattr(tokenizer.Body, "loss", stopping)
        assert trained(kind, data, tmp_path / "stopped", ends_with=130) == []
    steps: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(tokenizer.Body, "loss", counting)
        (again,) = trained(kind, data, tmp_path / "stopped", "--resume")
    assert len(steps) == 2
    assert again.read_bytes() == whole.read_bytes()
    assert again.name == whole.name


@pytest.mark.parametrize(("kind", "prior_steps"), list(zip(tokenizer.KINDS, (1, 2, 3, 10, 11), strict=True)))
def test_what_a_recipe_trains_is_a_tokenizer(kind: str, prior_steps: int, data: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    (path,) = trained(kind, data, tmp_path, f"prior_steps={prior_steps}")
    made = image.with_stack(kind, load_file(path))
    assert (made.stack.kind, made.stack.channels) == (kind, 4)
    given = np.asarray(Image.open(data / "images_train" / "1.png"))
    tokens = made.tokenize(narrows.Image(given), 100)
    assert tokens.ids.shape == (made.num_codebooks, 32 * 32)
    assert made.detokenize(tokens).pixels.shape == given.shape
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    assert card.startswith(f"# {path.stem}\n")
    assert f"narrows train {kind} data=FOLDER channels=4 " in card
    assert card.count("\n| ") == 6  # a head and five qualities


def test_integers_take_the_bits_of_bsq_that_floats_take(data: Path) -> None:
    """The encoder begins as successive approximation, whose late bits are small parts of what it reads."""
    channels = 20
    options = tokenizer.Options(data=str(data), kind="bsq", channels=channels, width=8, batch=2, seed=3)
    train, held = pictures.load(options.data)
    body = tokenizer.Body(options)
    body.start(train)
    arrays = {**ship.networks(body, train), "kind": np.array([tokenizer.KINDS.index("bsq")])}
    arrays["rates"] = np.array([channels // 2, channels])
    stack = ship._without_prior(arrays)
    given = held[0].astype(np.float32)
    with torch.no_grad():
        floats = body.bottleneck.eval().quantize(body.encode(torch.from_numpy(given)[None]))[0].numpy()
    found = stack.quantize(stack.latent(given * np.float32(pictures.UNIT)), channels)
    assert (found == 2 * floats - 1).mean() > 0.97
    # Bits that are not sent change none of those that are.
    assert np.array_equal(stack.quantize(stack.latent(given * np.float32(pictures.UNIT)), 2), found[:2])


@pytest.mark.parametrize("kind", tokenizer.KINDS)
def test_the_recipe_is_what_made_the_weights_that_ship(kind: str) -> None:
    """So that one command makes them again; and they are small."""
    from safetensors import safe_open

    package = Path(narrows.__file__).parent
    recipe = tomllib.loads((package / "training" / "recipes" / f"{kind}.toml").read_text())
    assert recipe.pop("trainer") == "tokenizer"
    options = tokenizer.Options(**recipe).__dict__
    path = package / "weights" / f"{kind}-{image.MODELS[kind]}.safetensors"
    with safe_open(path, "np") as file:
        said = json.loads(file.metadata()["options"])
    assert said == {name: options[name] for name in options if name not in ("data", "out", "resume")}
    assert path.stat().st_size < 1_500_000
