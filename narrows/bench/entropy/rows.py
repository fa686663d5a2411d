"""What a row of the benchmark is, and how a contender becomes one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from narrows.bench.entropy.timing import Contender, paired_ratio

Row = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """How long to measure: rounds in which all take turns, and symbols of a workload."""

    rounds: int
    symbols: int


def contender_row(case: str, one: Contender, ours: Contender, *, unit: str = "ns") -> Row:
    """Return a contender's figures: ns a symbol or us a call, and ratios to `ours` of the same rounds."""
    row: Row = {
        "case": case,
        "coder": one.coder,
        "setting": one.setting,
        "isa": one.isa,
        "symbols": one.symbols,
    }
    if one.problem:
        return row | {"note": one.problem}
    scale = 1 / one.symbols if unit == "ns" else 1e-3
    row[f"encode_{unit}"] = one.encode_median_ns() * scale
    row[f"decode_{unit}"] = one.decode_median_ns() * scale
    row[f"encode_least_{unit}"] = min(one.encode_ns) * scale
    row[f"decode_least_{unit}"] = min(one.decode_ns) * scale
    if not ours.problem:
        per_symbol = ours.symbols / one.symbols if unit == "ns" else 1.0
        row["encode_over_ours"] = paired_ratio(one.encode_ns, ours.encode_ns) * per_symbol
        row["decode_over_ours"] = paired_ratio(one.decode_ns, ours.decode_ns) * per_symbol
    row["bytes"] = one.coded_bytes
    for name, bits in (("exact", one.exact_bits), ("tables", one.tables_bits)):
        if bits:
            row[f"over_{name}_percent"] = 100 * (8 * one.coded_bytes / bits - 1)
    return row
