"""The caller's mistakes are ValueErrors, the data's damage is CorruptStream; never a crash, never a hang.

The cases of hostile.py run in a child process for each instruction set, under a limit of memory, so that a
crash would be told too.
"""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from narrows import _core

hostile = pytest.importorskip("entropy.hostile", reason="needs the resource module")
CHILD = Path(__file__).with_name("hostile.py")
TIMEOUT_S = 240
FEW, MANY = 1000, 10_000  # flipped bits, of each payload
LONGEST_CASE_S = 2.0
LONGEST_DECODE_S = 0.5  # of a few kilobytes, on any machine


@functools.cache
def told(isa, flips):
    """Lines that the child of an instruction set printed; fails if it died, and says in which case."""
    done = subprocess.run(
        [sys.executable, str(CHILD), str(flips)],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
        env={**os.environ, "NARROWS_ISA": isa},
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, (lines[-1:], done.stderr[-2000:])
    return lines


@pytest.fixture(
    params=[
        pytest.param((isa, flips), marks=[pytest.mark.slow] if flips == MANY else [], id=f"{isa}-{flips}")
        for flips in (FEW, MANY)
        for isa in _core.available_isas()
    ]
)
def lines(request):
    return told(*request.param)


def test_each_case_ends_as_it_must_and_soon(lines):
    found = {line["case"]: line for line in lines if "case" in line}
    assert list(found) == list(hostile.CASES)
    expected = {name: wanted for name, (wanted, _) in hostile.CASES.items()}
    assert {name: line["outcome"] for name, line in found.items()} == expected
    assert {name: line["spent_s"] for name, line in found.items() if line["spent_s"] > LONGEST_CASE_S} == {}


def test_every_prefix_is_refused(lines):
    found = [line for line in lines if line.get("sweep", "").endswith("prefixes")]
    assert len(found) == 5
    for line in found:
        assert set(line["counts"]) == {"damage"}, line


def test_checked_payloads_never_give_other_symbols(lines):
    found = [line for line in lines if "check on" in line.get("sweep", "")]
    assert sum(sum(line["counts"].values()) for line in found) > 4000
    for line in found:
        assert set(line["counts"]) <= {"damage", "refusal", "exact"}, line


def test_unchecked_payloads_end_in_bounded_time_whatever_they_hold(lines):
    found = [line for line in lines if "sweep" in line]
    assert len(found) == 16
    for line in found:
        assert set(line["counts"]) <= {"damage", "refusal", "exact", "other"}, line
        assert line["longest_s"] < LONGEST_DECODE_S, line
