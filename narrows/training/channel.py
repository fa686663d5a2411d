"""Sign codes for a noisy channel: block codes found by gradient, judged exactly.

A code is a table of sign words, [messages, length] of 0 and 1. Training a pair of networks through simulated
noise falls into poor codes; repelling random soft codewords, with restarts, reaches Hamming's.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt
import torch

Words = npt.NDArray[np.int64]

HAMMING_7_4: Words = np.array(
    [
        [*m, (m[0] + m[1] + m[3]) % 2, (m[0] + m[2] + m[3]) % 2, (m[1] + m[2] + m[3]) % 2]
        for m in product((0, 1), repeat=4)
    ]
)


def distances(received: Words, words: Words) -> Words:
    """Return in how many bits each of `received` [n, length] differs from each word, [n, messages]."""
    found: Words = (received[:, None] != words[None]).sum(2)
    return found


def block_error_rate(words: Words, flip: float) -> float:
    """Return how often a word sent over a binary symmetric channel is decoded as another, exactly.

    Bits flip with probability `flip`, messages are equally likely, decoding is of maximum likelihood; all
    2**length received words are enumerated, so the length is at most 16.

    >>> round(block_error_rate(HAMMING_7_4, 0.05), 9)
    0.044380542
    """
    length = words.shape[1]
    if not 1 <= length <= 16 or not 0 <= flip <= 1:
        raise ValueError("the length is 1 to 16 and flip a probability")
    received = np.array(list(product((0, 1), repeat=length)))
    apart = distances(received, words)
    likelihood = flip**apart * (1 - flip) ** (length - apart)
    return float(1 - likelihood.max(1).sum() / len(words))


def capacity(flip: float) -> float:
    """Return the bits a use of a binary symmetric channel can carry (Shannon 1948).

    >>> round(capacity(0.1), 6)
    0.531004
    """
    if flip in (0, 1):
        return 1.0
    return float(1 + flip * np.log2(flip) + (1 - flip) * np.log2(1 - flip))


def hard_decoder(words: Words) -> Words:
    """Return the nearest message of each of the 2**length received words, ties to the lowest."""
    received = np.array(list(product((0, 1), repeat=words.shape[1])))
    nearest: Words = distances(received, words).argmin(1)
    return nearest


def train_words(bits: int, length: int, *, steps: int = 800, seed: int = 0) -> Words:
    """Return 2**bits words of `length` bits from one start: soft words repelled, then single flips."""
    rng = torch.Generator().manual_seed(seed)
    words = torch.randn(2**bits, length, generator=rng).requires_grad_()
    optimizer = torch.optim.Adam([words], 0.05)
    pairs = torch.triu_indices(2**bits, 2**bits, 1)
    for step in range(steps):
        hardness = step / steps
        noise = (1 - hardness) * torch.randn(words.shape, generator=rng)
        soft = torch.nn.functional.normalize(torch.tanh(words + noise), dim=1) * length**0.5
        squared = (soft[pairs[0]] - soft[pairs[1]]).square().sum(1)
        loss = torch.logsumexp(-(0.3 + 1.2 * hardness) * squared, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return _with_flips((words.detach().numpy() > 0).astype(np.int64))


def _with_flips(words: Words) -> Words:
    """Flip single bits as long as one lowers the sum of .6**distance over pairs."""

    def crowding(table: Words) -> float:
        apart = distances(table, table)
        return float((0.6 ** apart[np.triu_indices(len(table), 1)]).sum())

    best = crowding(words)
    while True:
        found, place = best, None
        for at in np.ndindex(words.shape):
            words[at] ^= 1
            now = crowding(words)
            words[at] ^= 1
            if now < found - 1e-12:
                found, place = now, at
        if place is None:
            return words
        words[place] ^= 1
        best = found


def learn_code(bits: int, length: int, *, flip: float = 0.05, restarts: int = 12, seed: int = 0) -> Words:
    """Return the best code of `restarts` trainings, by its exact block error rate at `flip`.

    >>> words = learn_code(1, 3, restarts=1)
    >>> int((words[0] != words[1]).sum())  # one bit in three: repetition
    3
    """
    found = [train_words(bits, length, seed=seed + i) for i in range(restarts)]
    return min(found, key=lambda words: block_error_rate(words, flip))
