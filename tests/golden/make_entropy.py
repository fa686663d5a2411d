"""Write the golden payloads of the entropy coder: one for each profile, number of lanes and precision.

Run by `make golden` only; its difference is reviewed. The plain twin writes them, so that no kernel is its
own judge. Beside each payload stands a JSON file with the tables, how the index and the symbols were drawn,
and the symbols' digest.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from narrows.entropy import Tables, reference, reference_range

FOLDER = Path(__file__).parent / "entropy"


def draws(seed: int, count: int) -> list[int]:
    """Return 31-bit numbers of a linear congruential generator: the same in any language."""
    out, state = [], seed
    for _ in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        out.append(state >> 33)
    return out


def tables_of(case: dict[str, Any]) -> Tables:
    return Tables(case["bits"], *(np.array(case[key]) for key in ("offset", "shift", "size", "cdf")))


def message(case: dict[str, Any]) -> tuple[list[int], list[int]]:
    """Return index and symbols: each symbol owns a slot drawn, one of every `escape_every` is anywhere."""
    numbers = draws(case["seed"], 3 * case["num_symbols"])
    plain = reference.tables_of(tables_of(case))
    index, symbols = [], []
    for i in range(case["num_symbols"]):
        which, slot, rest = numbers[3 * i : 3 * i + 3]
        table = plain[which % len(plain)]
        token = max(1, table.owner(slot % 2**table.bits))
        symbol = table.symbol(token, rest % 2**table.shift)
        if case["escape_every"] and (i + 1) % case["escape_every"] == 0:
            symbol = rest * 2 - 2**31 + which % 2
        index.append(which % len(plain))
        symbols.append(symbol)
    return index, symbols


def payload_of(case: dict[str, Any]) -> bytes:
    tables = tables_of(case)
    index, symbols = message(case)
    if case["profile"] == reference.RANGE:
        return reference_range.encode_adaptive(
            symbols, index, reference_range.Adaptive(tables), hash_index=case["hash_index"]
        )
    return reference.encode(
        symbols, index, tables, hash_index=case["hash_index"], state_payload=case["state_payload"]
    )


def case_of(name: str, made: Tables, num_symbols: int, **more: Any) -> dict[str, Any]:
    case = {
        "name": name,
        "profile": reference.RANS,
        "bits": made.bits,
        "offset": made.offset.tolist(),
        "shift": made.shift.tolist(),
        "size": made.size.tolist(),
        "cdf": made.cdf.tolist(),
        "seed": len(name) * 1000 + num_symbols,
        "num_symbols": num_symbols,
        "escape_every": 97,
        "hash_index": False,
        "state_payload": False,
    }
    return {**case, **more}


def cases() -> list[dict[str, Any]]:
    out = []
    falling = [[2**20 >> abs(i - 9) for i in range(19)], [1000 + 7 * i for i in range(12)]]
    for bits in range(8, 17):
        made = Tables.from_pmf(
            [np.array(r, np.uint64) for r in falling], [-9, 100], bits=bits, escape=[3, 20]
        )
        out.append(case_of(f"bits-{bits}", made, 300))
    made = Tables.from_pmf(
        [np.array(r, np.uint64) for r in falling], [-9, -40], shift=[0, 2], escape=[300, 20]
    )
    for lanes, num_symbols in ((1, 100), (2, 800), (4, 1500), (8, 2900), (16, 6000), (32, 12_000)):
        out.append(case_of(f"lanes-{lanes}", made, num_symbols, lanes=lanes))
    out.append(case_of("empty", made, 0, profile=reference.STORED))
    out.append(case_of("index-hash", made, 500, hash_index=True))
    out.append(case_of("state-payload", made, 500, state_payload=True))
    wide = Tables.from_pmf([np.array(falling[0], np.uint64)] * 2, [-1000, 5], shift=[7, 12], escape=[300, 1])
    out.append(case_of("wide", wide, 300))
    closed = Tables.from_pmf([np.array(falling[0], np.uint64)], [0], bits=12, escape=False)
    out.append(case_of("closed", closed, 3000, escape_every=0))
    few = [np.array([9, 4, 2, 1], np.uint64), np.ones(16, np.uint64)]
    small = Tables.from_pmf(few, [-1, 0], escape=[1, 1])
    out.append(case_of("adaptive", small, 2000, profile=reference.RANGE))
    narrow = Tables.from_pmf([np.array([2**30, 1], np.uint64)], [1000], bits=15, escape=[1])
    out.append(case_of("stored", narrow, 97, profile=reference.STORED, escape_every=1))
    return out


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()
    for case in cases():
        symbols = np.array(message(case)[1], "<i4")
        case["digest"] = hashlib.sha256(symbols.tobytes()).hexdigest()
        (FOLDER / f"{case['name']}.bin").write_bytes(payload_of(case))
        (FOLDER / f"{case['name']}.json").write_text(json.dumps(case) + "\n")


if __name__ == "__main__":
    main()
