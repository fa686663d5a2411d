"""Commands that hand over: `train` to a recipe's trainer, `bench` to its rows."""

import dataclasses
import json
import sys
import types
from importlib.util import find_spec
from pathlib import Path

import pytest

from narrows.cli import train
from narrows.cli.main import main


@dataclasses.dataclass(frozen=True)
class Options:
    data: str = ""
    seed: int = 1
    rate: float = 0.5
    resume: bool = False


@pytest.fixture
def trainer(monkeypatch, tmp_path):
    """A trainer that keeps the options it was run with."""
    seen = []
    module = types.ModuleType("narrows.training.still")
    module.Options = Options
    module.run = lambda options: seen.append(options) or tmp_path / "still.safetensors"
    monkeypatch.setitem(sys.modules, "narrows.training.still", module)
    monkeypatch.setattr(train, "find_spec", lambda name: object())
    monkeypatch.setenv("NARROWS_DATA", "somewhere")
    (tmp_path / "still.toml").write_text('trainer = "still"\nseed = 7\n')
    return seen


def test_settings_are_the_recipes_then_the_commands(trainer, tmp_path, capsys):
    recipe = str(tmp_path / "still.toml")
    assert main(["train", recipe, "rate=0.25", "--resume"]) == 0
    assert trainer == [Options("somewhere", 7, 0.25, True)]
    assert capsys.readouterr().out == f"{tmp_path / 'still.safetensors'}\n"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("speed=9", "still has no setting speed; it knows: data, seed, rate, resume"),
        ("seed=x", "seed must be int, not 'x'"),
        ("seed", "'seed' is not key=value"),
    ],
)
def test_bad_settings_are_refused_before_training(setting, words, trainer, tmp_path, capsys):
    assert main(["train", str(tmp_path / "still.toml"), setting]) == 2
    assert words in capsys.readouterr().err
    assert not trainer


def test_bad_recipes_are_refused(tmp_path, capsys):
    for content, words in (("seed = 1", "names no trainer"), ("seed =", "Invalid value")):
        (tmp_path / "bad.toml").write_text(content)
        assert main(["train", str(tmp_path / "bad.toml")]) == 2
        assert words in capsys.readouterr().err


def test_recipes_of_the_package_fit_their_trainers():
    """Read, not run: a recipe's settings are fields of its trainer's options."""
    import ast

    folder = Path(train.__file__).parent.parent / "training"
    for recipe in (folder / "recipes").glob("*.toml"):
        name, settings = train._recipe(recipe.stem)
        tree = ast.parse((folder / f"{name}.py").read_text(encoding="utf-8"))
        options = next(
            node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Options"
        )
        fields = {node.target.id for node in options.body if isinstance(node, ast.AnnAssign)}
        assert settings.keys() <= fields


@pytest.mark.skipif(find_spec("torch") is not None, reason="torch is installed")
def test_training_without_torch_says_what_to_install(capsys):
    assert main(["train", "wave"]) == 2
    expected = "narrows: error: training needs the extra neural: pip install 'narrows[neural]'\n"
    assert capsys.readouterr().err == expected


def test_bench_prints_rows_for_people_and_programs(monkeypatch, capsys):
    module = types.ModuleType("narrows.bench.entropy")
    module.rows = lambda names: iter([{"case": "a", "mb_per_s": 1234.5}, {"case": "b", "mb_per_s": 0.25}])
    monkeypatch.setitem(sys.modules, "narrows.bench.entropy", module)
    assert main(["bench", "entropy", "--json"]) == 0
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert first == {"schema": "narrows.bench.entropy/1", "case": "a", "mb_per_s": 1234.5}
    assert main(["bench", "entropy"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["case", "mb_per_s"],
        ["a", "1,234.5"],
        ["b", "0.250"],
    ]


def test_bench_hands_rounds_and_symbols_to_the_entropy_rows_only(monkeypatch, capsys):
    module = types.ModuleType("narrows.bench.entropy")
    machine = {"case": "machine", "cpu": "an abacus", "versions": {"numpy": "2", "torch": "3"}}
    module.rows = lambda names, rounds, symbols: iter(
        [machine, {"case": names[0], "setting": f"{rounds} {symbols}", "encode_least_ns": 1.0}]
    )
    monkeypatch.setitem(sys.modules, "narrows.bench.entropy", module)
    assert main(["bench", "entropy", "w1", "--rounds", "2", "--symbols", "1000"]) == 0
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["versions", "numpy", "2,", "torch", "3"] in said
    assert said[-2:] == [["case", "setting"], ["w1", "2", "1000"]]
    assert main(["bench", "codecs", "--rounds", "2"]) == 2
    assert "belong to `narrows bench entropy`" in capsys.readouterr().err
