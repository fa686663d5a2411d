"""What the tests of the entropy coder draw: tables, and messages of every kind for them."""

import numpy as np
from hypothesis import strategies as st

from narrows.entropy import Tables


@st.composite
def tables(draw, closed=False, most_bits=16, max_tokens=40, shifts=(0, 0, 1, 3, 7, 8, 20)):
    """Any tables that from_pmf can make, wide and narrow, few tokens and many."""
    p = draw(st.integers(8, most_bits))
    rows, offsets, chosen = [], [], []
    for _ in range(draw(st.integers(1, 4))):
        shift = draw(st.sampled_from(shifts))
        if p - min(shift, 7) < 3:
            shift = 0
        most = min(max_tokens, 2 ** (p - min(shift, 7)) - 1)
        rows.append(
            draw(
                st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=most).filter(
                    lambda row: sum(row) > 0
                )
            )
        )
        offsets.append(draw(st.one_of(st.integers(-300, 300), st.integers(-(2**31), 2**30))))
        chosen.append(shift)
    escape = False if closed else draw(st.sampled_from([None, 2**20, 2**31]))
    return Tables.from_pmf(
        [np.array(row, np.uint64) for row in rows], offsets, bits=p, shift=chosen, escape=escape
    )


@st.composite
def messages(draw, of=None, max_size=300):
    """Tables, an index and symbols: inside the tables mostly, at their edges, and anywhere in int32."""
    made = draw(tables() if of is None else of)
    size = draw(st.integers(0, max_size))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    index = rng.integers(0, len(made), size).astype(draw(st.sampled_from([np.uint8, np.uint16])))
    span = (made.size[index].astype(np.int64) - 1) << made.shift[index]
    inside = made.offset[index] + (rng.random(size) ** 3 * span).astype(np.int64)
    if made.cdf[:, 1].all():
        edge = made.offset[index] + rng.choice([-2, -1, 0, 1], size) + rng.choice([0, 1], size) * span
        anywhere = rng.integers(-(2**31), 2**31, size)
        anywhere[rng.random(size) < 0.2] = rng.choice([-(2**31), 2**31 - 1])
        share = draw(st.sampled_from([0.0, 0.02, 0.5]))
        which = rng.choice(3, size, p=[1 - share, share / 2, share / 2])
        inside = np.choose(which, [inside, edge, anywhere]).clip(-(2**31), 2**31 - 1)
    return made, index, inside.astype(np.int32)
