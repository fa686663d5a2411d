"""The page on bottlenecks: its example runs, its table lists every file, and each has a figure."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("torch")

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/bottlenecks.md").read_text()
SHARED = {"__init__", "bottleneck", "prior", "rounded"}
FILES = {path.stem for path in (ROOT / "narrows/bottlenecks").glob("*.py")} - SHARED


def test_the_example_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code, "docs/bottlenecks.md", "exec"), names)
    assert isinstance(names["payload"], bytes)
    assert len(names["payload"]) < 18 * 256 / 8 * 1.01 + 16


def test_the_tables_list_every_bottleneck_and_objective() -> None:
    listed = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`[^|]*) \|", PAGE, re.MULTILINE))))
    assert listed == FILES | {path.stem for path in (ROOT / "narrows/training/objectives").glob("[a-z]*.py")}


def test_every_bottleneck_is_drawn() -> None:
    for name in FILES:
        assert f"](figures/bottlenecks/{name}.svg)" in PAGE
        figure = ROOT / f"docs/figures/bottlenecks/{name}.svg"
        assert figure.stat().st_size < 60_000
        # Grey letters stand out from white pages and from black ones.
        assert set(re.findall(r"<text[^>]*fill: (#\w+)", figure.read_text())) == {"#808080"}


def rows() -> dict[str, list[str]]:
    """Rows of known answers (K) and published mistakes (T), and the files with tests named after them."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for name in re.findall(r"^def test_((?:[kt]\d+_)+)", path.read_text(), re.MULTILINE):
            for row in name.strip("_").split("_"):
                found.setdefault(row.upper(), set()).add(str(path.relative_to(ROOT / "tests")))
    order = sorted(found, key=lambda row: (row[0], int(row[1:])))
    return {row: sorted(found[row]) for row in order}


def test_the_rows_are_listed_with_their_tests() -> None:
    by_file: dict[str, list[str]] = {}
    for row, files in rows().items():
        for file in files:
            by_file.setdefault(file, []).append(row)
    lines = [f"| `{file}` | {' '.join(by_file[file])} |" for file in sorted(by_file)]
    assert "\n".join(lines) in PAGE, "the table should be:\n" + "\n".join(lines)
