"""The page on bottlenecks: its example runs, and its table lists every file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("torch")

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/bottlenecks.md").read_text()


def test_the_example_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code, "docs/bottlenecks.md", "exec"), names)
    assert isinstance(names["payload"], bytes)
    assert len(names["payload"]) < 18 * 256 / 8 * 1.01 + 16


def test_the_table_lists_every_bottleneck() -> None:
    listed = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`[^|]*) \|", PAGE, re.MULTILINE))))
    shared = {"__init__", "bottleneck", "prior", "rounded"}
    files = {path.stem for path in (ROOT / "narrows/bottlenecks").glob("*.py")} - shared
    assert listed == files
