"""`narrows train`: a recipe to a weights file."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import os
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from narrows.cli import options
from narrows.cli.outcome import DONE
from narrows.cli.terminal import Terminal
from narrows.errors import MissingExtra, OptionError

NAME = "train"
USAGE = "narrows train RECIPE [key=value ...] [--resume]"
SUMMARY = "train weights by a recipe (needs the extra neural)"
EXAMPLES = """\
  narrows train wave                             a recipe that comes with the package
  narrows train wave seed=2 steps=500 out=runs/try
  narrows train my/recipe.toml --resume"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `train` takes."""
    parser.add_argument("recipe", metavar="RECIPE", help="a .toml file, or a recipe of the package by name")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="settings in place of the recipe's")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    options.add_talk(parser)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Train, and say where the weights are."""
    trainer, settings = _recipe(args.recipe)
    for setting in args.settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise OptionError(f"{setting!r} is not key=value")
        settings[key] = value
    if args.resume:
        settings["resume"] = "true"
    if find_spec("torch") is None:
        raise MissingExtra("training", "neural")
    module = importlib.import_module(f"narrows.training.{trainer}")
    if "data" in {field.name for field in dataclasses.fields(module.Options)}:
        settings.setdefault("data", os.environ.get("NARROWS_DATA", ""))
    path = module.run(_options(module.Options, trainer, settings))
    terminal.result(str(path))
    return DONE


def _recipe(name: str) -> tuple[str, dict[str, Any]]:
    """Return the trainer that a recipe names and its settings."""
    folder = Path(__file__).parent.parent / "training" / "recipes"
    path = Path(name)
    if path.suffix != ".toml":
        path = folder / f"{name}.toml"
        if not path.is_file():
            known = ", ".join(sorted(file.stem for file in folder.glob("*.toml"))) or "none"
            raise OptionError(f"there is no recipe {name!r}; known: {known}")
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OptionError(f"{path}: {error}") from None
    trainer = settings.pop("trainer", None)
    if not isinstance(trainer, str) or not trainer.isidentifier():
        raise OptionError(f"{path}: names no trainer")
    return trainer, settings


def _options(kind: Any, trainer: str, settings: dict[str, Any]) -> Any:
    """Return the trainer's options, texts converted to the types of their defaults."""
    defaults: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(kind)}
    values: dict[str, Any] = {}
    for key, value in settings.items():
        if key not in defaults:
            raise OptionError(f"{trainer} has no setting {key}; it knows: {', '.join(defaults)}")
        default = defaults[key]
        try:
            if isinstance(value, str) and isinstance(default, bool):
                values[key] = {"true": True, "false": False}[value]
            else:
                values[key] = type(default)(value)
        except (KeyError, ValueError, TypeError):
            raise OptionError(f"{key} must be {type(default).__name__}, not {value!r}") from None
    return kind(**values)
