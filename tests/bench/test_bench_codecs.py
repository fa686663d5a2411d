import pytest

import narrows
from narrows.bench import codecs
from narrows.registry import Listing


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(narrows.OptionError, match="no codec 'nothing'"):
        list(codecs.rows(["nothing"]))


def test_what_cannot_run_is_listed_with_its_reason(monkeypatch):
    broken = Listing(
        "broken", "here", problem="No module named 'torch'", hint="pip install 'narrows[neural]'"
    )
    odd = Listing("odd", "here", signal="Vectors")
    monkeypatch.setattr(narrows, "list_codecs", lambda: [broken, odd])
    rows = list(codecs.rows())
    assert [row["codec"] for row in rows] == ["broken", "odd"]
    assert "torch" in rows[0]["note"]
    assert "pip install" in rows[0]["note"]
    assert "Vectors" in rows[1]["note"]


def test_rows_of_one_codec_have_equal_columns_and_real_sizes():
    if "bytes" not in {entry.name for entry in narrows.list_codecs()}:
        pytest.skip("the bytes codec is not installed")
    rows = list(codecs.rows(["bytes"]))
    assert rows
    for row in rows:
        assert list(row) == list(rows[0])
        assert 0 < row["bytes"] < row["raw_bytes"]
        assert row["encode_ms"] > 0
        assert row["decode_ms"] > 0
