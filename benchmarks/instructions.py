"""Instructions a symbol of the rANS kernels, counted under Callgrind: a guard that noise cannot blur.

    python benchmarks/instructions.py             # counts, and compares with core/bench/instructions.json
    python benchmarks/instructions.py --record    # writes that file: after a change that is meant

Counts depend on the compiler, so they are compared only where it is the one that the file names. The program
is core/bench/count_rans.cpp, built with the C++ tests.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROGRAM = ROOT / "build" / "native" / "count_rans"
RECORD = ROOT / "core" / "bench" / "instructions.json"
NUM_SYMBOLS = 1 << 16
TOLERANCE = 0.03
SKIPPED = 77  # exit status where nothing can be compared, as automake's tests have it


class CannotCount(Exception):
    """Why nothing can be counted or compared here."""


def count(program: Path = PROGRAM) -> tuple[str, dict[str, float]]:
    """Return the program's compiler and instructions a symbol, by `workload isa direction`."""
    if not program.exists():
        raise CannotCount(f"{program.name} is not built: make test, or cmake --build build/native")
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise CannotCount("valgrind is not installed")
    with tempfile.TemporaryDirectory() as folder:
        command = [valgrind, "--tool=callgrind", f"--callgrind-out-file={folder}/out"]
        done = subprocess.run(
            [*command, str(program), str(NUM_SYMBOLS)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program.name} failed under callgrind: {done.stderr[-500:]}")
        said = dict(line.split(" ", 1) for line in done.stdout.splitlines())
        if said["counts"] != "yes":
            raise CannotCount("count_rans was built without valgrind's headers")
        counts = {}
        for path in Path(folder).glob("out.*"):
            text = path.read_text()
            name = re.search(r"^desc: Trigger: Client Request: (.+)$", text, re.MULTILINE)
            total = re.search(r"^(?:totals|summary): (\d+)", text, re.MULTILINE)
            if name and total:
                counts[name[1]] = round(int(total[1]) / NUM_SYMBOLS, 3)
    return said["compiler"], dict(sorted(counts.items()))


def compare(counts: dict[str, float], recorded: dict[str, float]) -> list[str]:
    """Return a line for each count that is missing, new, or off by more than the tolerance."""
    wrong = [f"{name}: not counted here" for name in recorded if name not in counts]
    for name, value in counts.items():
        before = recorded.get(name)
        if before is None:
            wrong.append(f"{name}: {value:.2f}, not recorded")
        elif abs(value - before) > TOLERANCE * before:
            wrong.append(f"{name}: {value:.2f} instructions a symbol, recorded {before:.2f}")
    return wrong


def main() -> int:
    """Print the counts; exit 1 where they differ from the record, 77 where they cannot be compared."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--record", action="store_true", help="write the counts as those to compare with")
    parser.add_argument("--program", type=Path, default=PROGRAM, help="a count_rans built elsewhere")
    options = parser.parse_args()
    try:
        compiler, counts = count(options.program)
    except CannotCount as reason:
        print(f"skipped: {reason}", file=sys.stderr)
        return SKIPPED
    for name, value in counts.items():
        print(f"{name:<18} {value:8.2f}")
    if options.record:
        record = {"compiler": compiler, "symbols": NUM_SYMBOLS, "instructions_per_symbol": counts}
        RECORD.write_text(json.dumps(record, indent=2) + "\n")
        return 0
    recorded = json.loads(RECORD.read_text())
    if recorded["compiler"] != compiler:
        print(f"skipped: recorded with {recorded['compiler']}, this is {compiler}", file=sys.stderr)
        return SKIPPED
    wrong = compare(counts, recorded["instructions_per_symbol"])
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
