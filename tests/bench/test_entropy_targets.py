"""benchmarks/entropy.py: what passes, what fails, what cannot be said here."""

import importlib.util
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def targets():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        spec = importlib.util.spec_from_file_location("entropy_targets", BENCHMARKS / "entropy.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules["entropy_targets"] = module
        spec.loader.exec_module(module)
        yield module
    del sys.modules["entropy_targets"]


def row(case, coder, encode_ns, decode_ns, ours=(2.0, 2.0), **more):
    ratios = {"encode_over_ours": encode_ns / ours[0], "decode_over_ours": decode_ns / ours[1]}
    return {"case": case, "coder": coder, "encode_ns": encode_ns, "decode_ns": decode_ns, **ratios, **more}


ROWS = [
    {"case": "machine", "isa": "avx2", "isas": "scalar avx2", "load": 0.1},
    row("w1", "narrows", 2.0, 2.0, setting="15 bit", isa="avx2", over_exact_percent=0.1, bytes=100),
    row("w1", "narrows", 9.0, 15.0, setting="15 bit", isa="scalar", over_exact_percent=0.1, bytes=100),
    row("w1", "compressai", 110, 300, setting="EntropyModel"),
    row("w1", "compressai, C++ core", 25, 100, setting="vectors ready"),
    row("w1", "torch_ans", 30, 9, setting="a"),
    row("w1", "torch_ans", 12, 40, setting="b"),
    {"case": "w1", "coder": "torchac", "note": "not installed"},
    row("w3", "narrows", 2.0, 1.0, setting="12 bit", isa="avx2"),
    {"case": "cuda", "coder": "narrows", "note": "torch sees no CUDA device"},
]


def test_each_target_has_a_line_and_says_whether_it_passes(targets):
    found = {line.target: line for line in targets.lines(targets.Rows(ROWS))}
    assert found["W1, AVX2, 15 bit tables, ns"].passed
    assert found["W1, bytes over the exact Gaussian entropy"].passed
    assert not found["W1, portable C++, 15 bit tables, ns"].passed
    assert found["W1, AVX-512, 15 bit tables, ns"].passed is None
    assert found["W2, AVX2, 15 bit tables, ns"].passed is None
    devices = [line for target, line in found.items() if target.startswith("CUDA")]
    assert [line.measured for line in devices] == ["torch sees no CUDA device"]


def test_a_slower_machine_is_judged_by_ratios(targets):
    slower = [
        entry | {key: 3 * entry[key] for key in ("encode_ns", "decode_ns") if key in entry} for entry in ROWS
    ]
    found = {line.target: line for line in targets.lines(targets.Rows(slower))}
    assert found["W1, AVX2, 15 bit tables, ns"].passed


def test_the_best_mode_of_each_direction_is_the_one_compared(targets):
    assert targets.Rows(ROWS).ratios("w1", "torch_ans") == (6.0, 4.5)


def test_the_figure_has_a_line_for_each_coder(targets, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "figure.svg"
    targets.entropy_plot.speeds(ROWS, path)
    text = path.read_text()
    for name in (
        "Narrows, AVX2",
        "Narrows, portable C++",
        "torch_ans, best mode",
        "CompressAI, EntropyModel",
    ):
        assert name in text
