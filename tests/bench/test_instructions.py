"""The kernels take no more instructions than recorded: benchmarks/instructions.py says how to record anew."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "instructions.py"


def load():
    spec = importlib.util.spec_from_file_location("instructions", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_kernels_take_the_recorded_instructions():
    done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr


def test_a_slower_kernel_is_told_from_noise():
    compare = load().compare
    recorded = {"w1 avx2 encode": 20.0, "w1 avx2 decode": 10.0}
    assert compare({"w1 avx2 encode": 20.5, "w1 avx2 decode": 9.8}, recorded) == []
    assert compare({"w1 avx2 encode": 20.7, "w1 avx2 decode": 10.0}, recorded) == [
        "w1 avx2 encode: 20.70 instructions a symbol, recorded 20.00"
    ]
    assert len(compare({"w1 avx2 encode": 20.0, "w2 avx2 encode": 1.0}, recorded)) == 2
