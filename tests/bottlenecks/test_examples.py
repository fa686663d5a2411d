"""Every public class of the bottlenecks and every objective has an example, and the examples run."""

from __future__ import annotations

import doctest
import inspect
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

torch = pytest.importorskip("torch")

import narrows  # noqa: E402
from narrows import bottlenecks  # noqa: E402
from narrows.training import objectives  # noqa: E402

ROOT = Path(narrows.__file__).parent
NAMES = [
    *(f"narrows.bottlenecks.{path.stem}" for path in sorted((ROOT / "bottlenecks").glob("[a-z]*.py"))),
    *(f"narrows.training.objectives.{name}" for name in objectives.__all__),
    "narrows.nets.crate",
    "narrows.training.channel",
    "narrows.training.latent_search",
]


@pytest.mark.parametrize("name", ["narrows.bottlenecks", *NAMES])
def test_examples_run(name: str) -> None:
    torch.manual_seed(0)
    assert doctest.testmod(import_module(name)).failed == 0


def public(module: ModuleType) -> dict[str, object]:
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    }


def test_whoever_is_public_has_an_example() -> None:
    named = set(bottlenecks.__all__) - {"Bottleneck", "Relaxed"}
    shown = [getattr(bottlenecks, name) for name in named]
    shown += [value for name in objectives.__all__ for value in public(getattr(objectives, name)).values()]
    missing = [value.__qualname__ for value in shown if ">>>" not in (inspect.getdoc(value) or "")]
    assert not missing


def test_every_bottleneck_and_objective_is_exported() -> None:
    modules = [import_module(name) for name in NAMES if name.startswith("narrows.bottlenecks.")]
    classes = [value for module in modules for value in public(module).values() if inspect.isclass(value)]
    found = {
        c.__name__ for c in classes if issubclass(c, bottlenecks.Bottleneck) and not inspect.isabstract(c)
    }
    assert found - {"Rounded", "SignCode"} <= set(bottlenecks.__all__)
    files = {path.stem for path in (ROOT / "training/objectives").glob("[a-z]*.py")}
    assert files == set(objectives.__all__)
