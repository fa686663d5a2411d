import numpy as np
import pytest

import narrows
from narrows import _core
from narrows.bench import entropy
from narrows.bench.entropy import peers, timing, workloads


@pytest.fixture(scope="module")
def found():
    """Rows of ours alone."""
    names = ["w1", "w2", "w3", "w4", "threads", "chunks", "tables", "range"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(peers, "contenders", lambda work: [peers.Missing("somebody", "what to install")])
        return list(entropy.rows(names, rounds=1, symbols=20_000))


@pytest.fixture(scope="module")
def beside_peers():
    return list(entropy.rows(["w1", "w3", "w5"], rounds=1, symbols=20_000))


def ours(rows, case):
    return [row for row in rows if row["case"] == case and row.get("coder", "").startswith("narrows")]


def test_the_machine_comes_first_and_says_what_it_is(found):
    machine = found[0]
    assert machine["case"] == "machine"
    assert machine["cpu"]
    assert machine["isas"].split() == _core.available_isas()
    assert machine["versions"]["narrows"] == narrows.__version__


@pytest.mark.parametrize("case", ["w1", "w2", "w3", "w4"])
def test_every_instruction_set_codes_each_workload_to_nearly_the_ideal(found, case):
    rows = ours(found, case)
    assert {row["isa"] for row in rows} == set(_core.available_isas())
    for row in rows:
        assert "note" not in row
        assert row["encode_ns"] > 0.1
        assert row["decode_ns"] > 0.1
        assert -0.5 < row["over_tables_percent"] < 8  # 20,000 symbols of W2 are 1.9 kB, 100 bytes are states


def test_a_peer_that_is_not_there_is_named_with_what_to_install(found):
    absent = [row for row in found if row.get("coder") == "somebody"]
    assert absent[0] == {"case": "w1", "coder": "somebody", "note": "what to install"}
    assert len(absent) == 4


@pytest.mark.slow
def test_every_installed_peer_gives_the_symbols_back_and_is_compared(beside_peers):
    for case in ("w1", "w3", "w5-500"):
        others = [r for r in beside_peers if r["case"] == case and not r["coder"].startswith("narrows")]
        assert {"compressai", "torch_ans", "constriction", "zstd"} <= {row["coder"] for row in others}
        for row in others:
            assert (
                "encode_over_ours" in row or "not installed" in row["note"] or "did not start" in row["note"]
            )


def test_packets_cost_at_most_a_byte_more_than_the_ideal(found):
    rows = [row for row in found if row["case"] == "range-packets"]
    assert len(rows) == 4
    for row in rows:
        assert row["over_mean_bytes"] <= 1
        assert row["over_most_bytes"] <= 1.05


def test_an_unknown_case_is_refused_with_the_known_ones():
    with pytest.raises(narrows.OptionError, match="no case 'nothing': there are w1, w2"):
        list(entropy.rows(["nothing"]))
    with pytest.raises(narrows.OptionError, match="at least 1"):
        list(entropy.rows(["w1"], rounds=0))


def test_workloads_are_what_they_say():
    bits = {name: workloads.make(name, 200_000).exact_bits / 200_000 for name in workloads.NAMES}
    assert bits["w1"] == pytest.approx(4.563, abs=0.02)
    assert bits["w2"] == pytest.approx(0.751, abs=0.01)
    assert bits["w4"] == pytest.approx(5.62, abs=0.02)
    first, second = (workloads.make.__wrapped__("w3", 1000) for _ in range(2))
    assert (first.symbols == second.symbols).all()


def test_the_exact_length_is_that_of_the_distributions():
    work = workloads.make("w3", 5000)
    each = [-np.log2(work.pmfs[t][s]) for t, s in zip(work.index, work.symbols, strict=True)]
    assert work.exact_bits == pytest.approx(sum(each))


@pytest.mark.slow
def test_the_core_and_the_tables_are_compressais():
    models = pytest.importorskip("compressai.entropy_models")
    work = workloads.make("w1", 3000)
    prepared = peers.Prepared.of(work)
    model = models.GaussianConditional(workloads.scale_table(64).tolist())
    model.update()
    theirs = [
        row[:size] for row, size in zip(model.quantized_cdf.numpy(), model.cdf_length.tolist(), strict=True)
    ]
    assert all(abs(a - b).max() <= 2 for a, b in zip(theirs, prepared.cdfs, strict=True))
    theirs = next(peers.compressai_model(prepared)).encode()[0]
    try:
        core = peers.CompressaiCore(prepared)
    except FileNotFoundError:
        pytest.skip("no C++ compiler named c++")
    assert core.stream(core.encode()) == theirs
    assert (core.decode(0) == work.symbols).all()


def test_a_contender_that_fails_is_told_apart():
    def broken(_):
        raise RuntimeError("no")

    wanted = np.arange(3)
    good = timing.Contender("a", "", lambda: b"xyz", lambda _: wanted, len, wanted, symbols=3)
    bad = timing.Contender("b", "", lambda: b"xyz", broken, len, wanted)
    wrong = timing.Contender("c", "", lambda: b"xyz", lambda _: wanted + 1, len, wanted)
    timing.interleave([good, bad, wrong], 2)
    assert (good.problem, bad.problem, wrong.problem) == ("", "RuntimeError: no", "gives other symbols back")
    assert len(good.encode_ns) == 2
    assert wrong.encode_ns == []


def test_ratios_are_of_the_same_round():
    assert timing.paired_ratio([10, 100, 30], [1, 10, 2]) == 10
