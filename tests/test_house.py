"""The rules of the house that a machine can check: import directions, light imports, documented names."""

from __future__ import annotations

import ast
import doctest
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import narrows

ROOT = Path(narrows.__file__).parent
# Lowest first. A module may import from its own row's file or folder and from rows above it in this list.
ROWS = [
    {"_core"},
    {"errors"},
    {"limits"},
    {"signals"},
    {"contracts"},
    {"container", "files"},
    {"models"},
    {"entropy"},
    {"nets", "transforms"},
    {"bottlenecks"},
    {"tokenizers"},
    {"codecs"},
    {"registry"},
    {"stream"},
    {"api"},
    {"pillow", "bench"},
    {"eval", "training", "streaming"},
    {"cli"},
    {"__main__"},
]
ROW_OF = {name: number for number, row in enumerate(ROWS) for name in row}
SOURCES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")
OPTIONAL = {
    "torch",
    "torchaudio",
    "torchvision",
    "compressai",
    "pywt",
    "av",
    "sounddevice",
    "websockets",
    "ray",
}


def imports(path: Path) -> list[tuple[int, str]]:
    """(line, first part below narrows) of each import of ours in a file; those for type checkers too."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            deeper = [f"narrows.{alias.name}" for alias in node.names]
            names = deeper if node.module == "narrows" else [node.module or ""]
        else:
            continue
        found += [(node.lineno, name.split(".")[1]) for name in names if name.startswith("narrows.")]
    return found


def place(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def test_every_folder_and_module_has_a_row() -> None:
    missing = {place(path) for path in SOURCES} - set(ROW_OF)
    assert not missing, f"add {missing} to ROWS here and to docs/architecture.md"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    own = place(path)
    for line, name in imports(path):
        if name in ROW_OF and name != own:
            assert ROW_OF[name] < ROW_OF[own], f"{path}:{line}: {own} imports {name}"


def test_a_codec_never_reads_another_codec() -> None:
    found = [
        f"{path}:{node.lineno} imports {node.module}"
        for path in (ROOT / "codecs").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("narrows.codecs")
    ]
    assert found == []


def test_optional_packages_are_imported_only_inside_functions() -> None:
    allowed = {"nets", "bottlenecks", "training"}
    for path in SOURCES:
        if place(path) in allowed:
            continue
        for node in ast.parse(path.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            taken = {name.split(".")[0] for name in names} & OPTIONAL
            assert not taken, f"{path}:{node.lineno}: {taken} at module level"


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`code` in a fresh interpreter in which importing torch or Pillow's core fails if told so."""
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
        check=False,
    )


WITHOUT_TORCH = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchaudio", "pywt"):
            raise ImportError(name + " is not for this test", name=name)
sys.meta_path.insert(0, Refuse())
"""


def test_the_main_job_is_done_without_torch() -> None:
    code = WITHOUT_TORCH + (
        "import numpy, narrows, narrows.api, narrows.registry\n"
        "for codec in narrows.list_codecs():\n"
        "    assert codec.problem is None, codec\n"
        "assert narrows.decode(narrows.encode(b'hello')).data == b'hello'\n"
        "if any(codec.name == 'wave' for codec in narrows.list_codecs()):\n"
        "    narrows.decode(narrows.encode(numpy.zeros((9, 9, 3), numpy.uint8)))\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_importing_the_package_takes_nothing_along() -> None:
    names = ("torch", "PIL", "numpy", "soundfile")
    done = run(f"import sys, narrows; print([name for name in {names} if name in sys.modules])")
    assert done.stdout.strip() == "[]", done.stderr


def test_importing_what_encoding_needs_takes_no_torch_and_no_pillow() -> None:
    done = run(
        "import sys, narrows; narrows.encode; print([m for m in ('torch', 'PIL') if m in sys.modules])"
    )
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["encode", "--help"], ["list", "codecs"]])
def test_the_command_line_starts_without_torch(arguments: list[str]) -> None:
    start = f"sys.argv = ['narrows', *{arguments}]\nfrom narrows.cli.main import main\nsys.exit(main())"
    done = run(WITHOUT_TORCH + start)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def imported(code: str) -> set[str]:
    """Modules that `code` imports into a fresh interpreter, less Python's own and those that begin with _."""
    before = "import sys; before = set(sys.modules)\n"
    listed = run(before + code + "\nprint(*set(sys.modules) - before)").stdout.split()
    own = {name for name in listed if name.split(".")[0] not in sys.stdlib_module_names}
    return {name for name in own if not name.startswith("_")}


def test_import_is_light() -> None:
    """What a module costs is measured elsewhere; here, that none is imported before it is needed."""
    assert imported("import narrows") == {"narrows"}
    names = imported("import narrows; narrows.encode, narrows.Image, narrows.list_codecs")
    assert {name.split(".")[0] for name in names} == {"narrows", "numpy"}
    heavy = (
        "narrows.codecs",
        "narrows.entropy",
        "narrows.eval",
        "narrows.training",
        "narrows.cli",
        "narrows.streaming",
    )
    assert not [name for name in names if name.startswith(heavy)]


PUBLIC = sorted(name for name in narrows.__all__ if not name.startswith("_"))


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_documented(name: str) -> None:
    thing = getattr(narrows, name)
    text = thing.__doc__ or ""
    assert len(text.splitlines()[0]) > 10, f"{name} has no first line"
    finder = doctest.DocTestFinder(exclude_empty=True, recurse=False)
    exception = isinstance(thing, type) and issubclass(thing, Exception) and thing is not narrows.NarrowsError
    needs_torch = name in ("to_tensor", "from_tensor")
    module = name in ("entropy", "models")
    examples = [test for test in finder.find(thing, name) if test.examples]
    assert examples or exception or needs_torch or module, f"{name} has no example"


DOCUMENTED = sorted({f"narrows.{home}" for home in narrows._HOMES} | {"narrows.files", "narrows.models"})


@pytest.mark.parametrize("module", DOCUMENTED)
def test_examples_run(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS, verbose=False)
    assert result.failed == 0


def test_the_stub_names_what_the_package_has() -> None:
    tree = ast.parse((ROOT / "__init__.pyi").read_text())
    named = {alias.asname for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert named == set(narrows.__all__) - {"__version__"}


LONG = {
    "contracts.py": "promises are read together",
    "entropy/reference.py": "read top to bottom beside the format's text",
}


def test_files_are_short_or_say_why() -> None:
    for path in SOURCES:
        lines = len(path.read_text().splitlines())
        allowed = 600 if str(path.relative_to(ROOT)) in LONG else 500
        assert lines <= allowed, f"{path}: {lines} lines"


def test_nothing_is_called_by_an_empty_name() -> None:
    empty = {"utils", "util", "common", "helpers", "base", "manager", "misc"}
    assert not [path for path in SOURCES if set(path.relative_to(ROOT).with_suffix("").parts) & empty]
