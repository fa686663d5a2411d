"""The snippets of docs/compat.md and of the doors' docstrings, run."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "compat.md"
SNIPPETS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
MODULES = ("compressai", "compressai_ans", "constriction", "exact", "steps", "torch_ans", "torchac")


def test_the_page_has_snippets():
    assert len(SNIPPETS) >= 5


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_snippets_run(number):
    snippet = SNIPPETS[number]
    for library, sign in (("compressai", "compressai.zoo"), ("torch", "torch")):
        if sign in snippet:
            pytest.importorskip(library, reason=f"{library} is not installed")
    names: dict[str, object] = {}
    exec(compile(snippet, f"{PAGE.name}, snippet {number + 1}", "exec"), names)
    assert set(names) > {"__builtins__"}


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    module = importlib.import_module(f"narrows.entropy.compat.{name}")
    assert doctest.testmod(module, optionflags=doctest.ELLIPSIS).failed == 0
