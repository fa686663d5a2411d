"""Codes for a noisy channel (rows K54, K55, and the learned (7,4) code)."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

pytest.importorskip("torch")

from narrows.training import channel


@pytest.mark.parametrize(
    ("flip", "coded", "plain"),
    [(0.01, 0.002031042, 0.039403990), (0.05, 0.044380542, 0.185493750), (0.1, 0.149694400, 0.343900)],
)
def test_k54_hamming_and_no_code(flip: float, coded: float, plain: float) -> None:
    assert channel.block_error_rate(channel.HAMMING_7_4, flip) == pytest.approx(coded, abs=1e-9)
    raw = np.array(list(product((0, 1), repeat=4)))
    assert channel.block_error_rate(raw, flip) == pytest.approx(plain, abs=1e-9)


@pytest.mark.parametrize(
    ("flip", "errors", "capacity"), [(0.05, 0.019433750, 0.713603043), (0.1, 0.066880000, 0.531004406)]
)
def test_k55_message_bits_and_capacity(flip: float, errors: float, capacity: float) -> None:
    assert channel.capacity(flip) == pytest.approx(capacity, abs=1e-8)
    decoded = channel.hard_decoder(channel.HAMMING_7_4)
    received = np.array(list(product((0, 1), repeat=7)))
    apart = channel.distances(received, channel.HAMMING_7_4)
    chance = flip**apart * (1 - flip) ** (7 - apart)
    messages = channel.HAMMING_7_4[:, :4]
    wrong = (messages[decoded][:, None] != messages[None]).mean(2)
    assert float((chance * wrong).sum() / 16) == pytest.approx(errors, abs=1e-8)


def test_a_channel_that_always_flips_is_as_good_as_none_that_does() -> None:
    assert channel.capacity(0.0) == channel.capacity(1.0) == 1
    assert channel.block_error_rate(channel.HAMMING_7_4, 1.0) == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="probability"):
        channel.block_error_rate(channel.HAMMING_7_4, 1.5)


def test_a_short_code_is_learned() -> None:
    """Two messages of three bits: the repetition code, whatever its signs."""
    words = channel.learn_code(1, 3, restarts=2)
    assert int((words[0] != words[1]).sum()) == 3


@pytest.mark.slow
def test_the_learned_code_is_as_good_as_hammings() -> None:
    words = channel.learn_code(4, 7, restarts=24)
    assert channel.block_error_rate(words, 0.05) == pytest.approx(0.044380542, abs=1e-9)
    assert channel.block_error_rate(words, 0.1) == pytest.approx(0.149694400, abs=1e-9)
