import pytest

import narrows
from narrows.bench import entropy


def test_every_case_is_near_the_ideal_length():
    rows = list(entropy.rows(["rans-1-table", "rans-short", "range", "range-adaptive"]))
    assert [row["symbols"] for row in rows] == [1 << 20, 500, 1 << 18, 1 << 18]
    for row in rows:
        assert list(row) == list(rows[0])
        assert row["encode_msymbols_per_s"] > 0.01
        assert row["decode_msymbols_per_s"] > 0.01
        assert abs(row["over_ideal_percent"]) < (15 if row["symbols"] == 500 else 4)


def test_an_unknown_case_is_refused_with_the_known_ones():
    with pytest.raises(narrows.OptionError, match="no case 'nothing': there are rans-1-table"):
        list(entropy.rows(["nothing"]))
