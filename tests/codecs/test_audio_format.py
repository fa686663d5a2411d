"""Packets of `speech` and `music` decode by docs/format.md alone to what the compiled decoder gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from golden.test_audio import IDS, VECTORS, packets_of
from twins.audio import Decoder, resampled

import narrows
from narrows import container, models

LAST_PLACE = 2**-23


@pytest.mark.parametrize("golden", VECTORS, ids=IDS)
def test_the_format_s_text_decodes_golden_packets(golden: dict[str, Any]) -> None:
    data = bytes.fromhex(golden["header"])
    _, header = container.read_preamble(container.Input(data))
    compiled = narrows.decoder(data)
    expected = np.concatenate([compiled.push(packet) for packet in packets_of(golden)])
    twin = Decoder(header.params, golden["channels"], models.load(golden["codec"], header.model))
    inside = np.concatenate([twin.push(bytes.fromhex(payload)) for payload in golden["packets"]])
    if twin.rate_hz == golden["rate_hz"]:
        samples = inside[: len(expected)]
    else:
        samples = resampled(inside, twin.rate_hz, golden["rate_hz"], len(expected))
    difference = np.abs(np.clip(samples / 2**23, -1, 1) - expected)
    assert difference.max() < 16 * LAST_PLACE
    assert np.sqrt((expected**2).mean()) > 1000 * LAST_PLACE
