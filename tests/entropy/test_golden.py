"""Payloads that earlier versions wrote decode to what they held then, and are written alike today."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from golden import make_entropy, make_models

from narrows import entropy
from narrows.entropy import models, reference, reference_range

FOLDER = Path(make_entropy.FOLDER)
NAMES = [case["name"] for case in make_entropy.cases()]


def read(name):
    payload = (FOLDER / f"{name}.bin").read_bytes()
    return json.loads((FOLDER / f"{name}.json").read_text()), payload


def test_every_vector_is_there_and_no_other():
    expected = {f"{name}.{ending}" for name in NAMES for ending in ("bin", "json")}
    assert {path.name for path in FOLDER.iterdir()} == expected, "make golden writes them"


@pytest.mark.parametrize("name", NAMES)
def test_a_stored_payload_decodes_and_is_still_written(name, isa):
    case, payload = read(name)
    made = make_entropy.tables_of(case)
    index, symbols = (np.array(values, np.int64) for values in make_entropy.message(case))
    assert hashlib.sha256(symbols.astype("<i4").tobytes()).hexdigest() == case["digest"]
    tables = entropy.Adaptive(made) if case["profile"] == reference.RANGE else made
    assert np.array_equal(entropy.decode(payload, index, tables), symbols)
    if not case["state_payload"]:
        tables = entropy.Adaptive(made) if case["profile"] == reference.RANGE else made
        assert entropy.encode(symbols, index, tables, hash_index=case["hash_index"]) == payload


@pytest.mark.parametrize("name", NAMES)
def test_the_twin_reads_it_too_and_it_is_what_its_name_says(name):
    case, payload = read(name)
    made = make_entropy.tables_of(case)
    index, symbols = make_entropy.message(case)
    if case["profile"] == reference.RANGE:
        assert reference_range.decode_adaptive(payload, index, reference_range.Adaptive(made)) == symbols
    else:
        assert reference.decode(payload, index, made) == symbols
    assert make_entropy.payload_of(case) == payload
    assert payload[0] == 16 + case["profile"]
    if "lanes" in case:
        assert 1 << (payload[2] & reference.LANES) == case["lanes"]


def test_all_profiles_lanes_and_precisions_are_covered():
    seen = [read(name) for name in NAMES]
    assert {payload[0] & 15 for _, payload in seen} == {0, 1, 2}
    assert {payload[1] for case, payload in seen if case["profile"] == 0} == set(range(8, 17))
    assert {payload[2] & 7 for case, payload in seen if case["profile"] == 0} == set(range(6))


MODELS = {case.name: case for case in make_models.cases()}


def test_every_payload_of_a_model_is_there_and_no_other():
    stored = {path.name for path in make_models.FOLDER.iterdir()}
    assert stored == {f"{name}.bin" for name in MODELS}, "make golden writes them"


@pytest.mark.parametrize("name", MODELS)
def test_a_stored_payload_of_a_model_decodes_and_is_still_written(name, isa, monkeypatch):
    case = MODELS[name]
    payload = (make_models.FOLDER / f"{name}.bin").read_bytes()
    assert payload == case.payload()
    back = entropy.decode_symbols(case.model, payload, case.symbols.shape, case.side)
    assert np.array_equal(back, case.symbols)
    monkeypatch.setattr(models, "_FEW", -1 if case.kind == 3 else 1 << 16)
    assert entropy.encode_symbols(case.model, case.symbols, case.side) == payload
