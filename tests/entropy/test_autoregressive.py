"""The autoregressive loop against its plain twin: any network, taps, sides, shapes; damage and lies raise."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twins import models as twin

from narrows import entropy
from narrows.entropy import autoregressive
from narrows.errors import CorruptStream, LimitExceeded, UnsupportedStream
from narrows.limits import Limits

LAPLACE = entropy.scale_family("laplace", [int(2**20 * 1.5**i / 4) for i in range(12)])
CAUSAL = [
    (c, y, x)
    for c in (-2, -1, 0)
    for y in (-2, -1, 0, 1)
    for x in (-3, -1, 0, 1, 64)
    if c < 0 or y < 0 or (y == 0 and x < 0)
]


def network(
    rng: np.random.Generator, sizes: list[int], num_nets: int = 1, spread: int = 40
) -> list[entropy.Layer]:
    """Random layers whose outputs move about."""
    layers = []
    for inputs, outputs in pairwise(sizes):
        shape = (num_nets, outputs) if num_nets > 1 else (outputs,)
        layers.append(
            entropy.Layer(
                rng.integers(-128, 128, (*shape, inputs)).astype(np.int8),
                rng.integers(-(2**16), 2**16, shape),
                rng.integers(1, spread, shape),
                int(rng.integers(8, 14)),
            )
        )
    return layers


def drawn_model(seed: int) -> tuple[entropy.Autoregressive, np.ndarray, np.ndarray]:
    """A model, symbols and sides, all at random."""
    rng = np.random.default_rng(seed)
    num_maps, num_nets, num_sides = (int(rng.integers(1, high)) for high in (4, 4, 3))
    num_sides -= 1
    chosen = rng.choice(len(CAUSAL), int(rng.integers(0 if num_sides else 1, 12)), replace=False)
    taps = [(*CAUSAL[i], int(rng.integers(num_maps))) for i in chosen]
    size = int(rng.integers(1, 40))
    maps = rng.integers(0, 128, (num_maps, size)).astype(np.uint8)
    mean = bool(rng.integers(2))
    grid = [(12,), (3, 4)][int(rng.integers(2))]
    hidden = [int(rng.integers(1, 70)) for _ in range(int(rng.integers(0, 4)))]
    layers = network(rng, [len(taps) + num_sides, *hidden, len(grid) + mean], num_nets)
    tables: Any = LAPLACE.tables
    if num_nets > 1 and rng.integers(2):
        scales = [(1 << 16) + (i << 14) for i in range(12 * num_nets)]
        tables = entropy.scale_family("gaussian", scales).tables
    shape = tuple(int(rng.integers(1, high)) for high in (3, 5, 6, 90 if seed % 4 == 0 else 9))
    model = entropy.Autoregressive(tables, taps, maps, layers, grid, num_sides, mean)
    symbols = rng.laplace(0, 4, shape).round().astype(np.int32)
    symbols[rng.random(shape) < 0.02] = rng.choice([-(2**31), 2**31 - 1, 1000])
    return model, symbols, rng.integers(0, 128, (num_sides, *shape)).astype(np.uint8)


@pytest.mark.parametrize("seed", range(24))
def test_bytes_are_the_twins_on_every_instruction_set(seed: int, isa: None) -> None:
    model, symbols, sides = drawn_model(seed)
    payload = entropy.encode_symbols(model, symbols, sides)
    assert payload == twin.encode_autoregressive(model, symbols, sides)
    assert np.array_equal(entropy.decode_symbols(model, payload, symbols.shape, sides), symbols)


def small(mean: bool = False, adaptive: bool = False) -> entropy.Autoregressive:
    rng = np.random.default_rng(3)
    pmf = np.exp(-np.abs(np.arange(-7, 8)) / 2)
    tables: Any = entropy.Tables.from_pmf([pmf / pmf.sum()] * 6, [-7] * 6, escape=0.01)
    layers = network(rng, [4, 8, 2 + mean])
    taps = [(0, -1, 0), (0, 0, -1), (0, -1, 1), (-1, 0, 0)]
    return entropy.Autoregressive(
        entropy.Adaptive(tables) if adaptive else tables,
        taps,
        entropy.identity_map(16)[None],
        layers,
        (2, 3),
        mean=mean,
    )


def test_tables_that_adapt_go_along_and_belong_to_the_call(isa: None) -> None:
    symbols = np.random.default_rng(0).integers(-3, 4, (2, 3, 8, 9)).astype(np.int32)
    model = small(adaptive=True)
    payload = entropy.encode_symbols(model, symbols)
    assert payload == twin.encode_autoregressive(model, symbols, np.zeros((0, *symbols.shape)))
    assert payload == entropy.encode_symbols(model, symbols)
    assert np.array_equal(entropy.decode_symbols(model, payload, symbols.shape), symbols)
    many = np.full((1, 1, 64, 64), 2)
    assert len(entropy.encode_symbols(model, many)) < len(entropy.encode_symbols(small(), many)) / 4


def test_a_context_of_neighbors_pays() -> None:
    """A field of slowly changing scale costs less with a net that reads magnitudes than without."""
    rng = np.random.default_rng(1)
    scale = np.exp(np.cumsum(rng.normal(0, 0.4, (128, 128)), axis=1))
    symbols = rng.laplace(0, np.clip(scale, 0.2, 30)).round().astype(np.int32)[None]
    family = entropy.scale_family("laplace", [int(2**20 * 2 ** (i / 2 - 2)) for i in range(16)])
    taps = [(0, 0, -1 - i) for i in range(8)]
    # A magnitude of 12 an octave, averaged over the eight to the left, two tables an octave.
    layer = entropy.Layer(np.full((1, 8), 21, np.int8), np.array([2400]), np.array([1]), 10)
    model = entropy.Autoregressive(family.tables, taps, entropy.magnitude_map()[None], [layer], (16,))
    payload = entropy.encode_symbols(model, symbols)
    best = min(
        len(entropy.encode_symbols(entropy.Static(family.tables, np.array(i)), symbols)) for i in range(16)
    )
    assert len(payload) < 0.9 * best


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (3, 0, 4), (1, 1, 1, 0), (2, 2, 3, 1, 2)], ids=str)
def test_empty_and_deep_shapes_go_round(shape: tuple[int, ...]) -> None:
    symbols = np.ones(shape, np.int32)
    payload = entropy.encode_symbols(small(), symbols)
    assert np.array_equal(entropy.decode_symbols(small(), payload, shape), symbols)


@given(st.integers(0, 2**32 - 1))
def test_a_symbol_depends_on_earlier_ones_alone(seed: int) -> None:
    """Streams of two messages agree up to the first symbol that differs: what is before it decodes alike."""
    model, symbols, sides = drawn_model(seed)
    rng = np.random.default_rng(seed)
    at = int(rng.integers(symbols.size))
    other = symbols.copy()
    other.flat[at:] = rng.integers(-9, 9, symbols.size - at)
    payload = entropy.encode_symbols(model, other, sides)
    assert np.array_equal(entropy.decode_symbols(model, payload, symbols.shape, sides), other)


def test_what_a_network_reads_must_come_before() -> None:
    for tap in [(0, 0, 0), (0, 0, 1), (0, 1, -5), (1, -1, -1), (0, -1, 65), (0, -1, -65)]:
        with pytest.raises(ValueError, match="tap"):
            entropy.Autoregressive(
                LAPLACE.tables,
                [tap],
                entropy.identity_map()[None],
                [entropy.Layer(np.ones((1, 1), np.int8), np.array([0]), np.array([1]), 1)],
                (12,),
            )


def layer(w: Any, b: int = 0, m: int = 1, shift: int = 1) -> entropy.Layer:
    return entropy.Layer(np.array(w, np.int8), np.full(len(w), b), np.full(len(w), m), shift)


@pytest.mark.parametrize(
    ("layers", "grid", "maps", "said"),
    [
        ([layer([[127] * 3], 0, 2**31 // (127 * 127 * 3) + 1)], (12,), 128, "int32"),
        ([layer([[1] * 3], 2**31 - 200)], (12,), 128, "int32"),
        ([layer([[1] * 3], 0, -1)], (12,), 128, "int32"),
        ([layer([[1] * 2])], (12,), 128, "shape"),
        ([layer([[1] * 3]), layer([[1] * 2])], (12,), 128, "shape"),
        ([layer([[1] * 3] * 2)], (12,), 128, "output"),
        ([layer([[1] * 3])], (3, 4), 128, "output"),
        ([layer([[1] * 3])], (0,), 128, "grid"),
        ([layer([[1] * 3])], (65537,), 128, "grid"),
        ([], (12,), 128, "layers"),
        ([layer([[1] * 3])], (12,), 200, "map"),
    ],
)
def test_networks_that_cannot_be_are_refused(
    layers: list[entropy.Layer], grid: tuple[int, ...], maps: int, said: str
) -> None:
    taps = [(0, -1, 0), (0, 0, -1), (0, -1, 1)]
    with pytest.raises(ValueError, match=said):
        entropy.Autoregressive(LAPLACE.tables, taps, np.arange(maps, dtype=np.uint8)[None], layers, grid)


def test_sums_up_to_the_limit_are_exact(isa: None) -> None:
    taps = [(-1, 0, i) for i in range(16)]
    weight = np.full((1, 16), -128, np.int8)
    layers = [
        entropy.Layer(weight, np.array([-(2**20)]), np.array([1600]), 12),
        entropy.Layer(np.array([[127]], np.int8), np.array([2**30]), np.array([1]), 30),
    ]
    model = entropy.Autoregressive(LAPLACE.tables, taps, np.full((1, 3), 127, np.uint8), layers, (12,))
    symbols = np.zeros((1, 2, 3, 70), np.int32)
    payload = entropy.encode_symbols(model, symbols)
    assert payload == twin.encode_autoregressive(model, symbols, np.zeros((0, *symbols.shape)))


def test_wrong_calls_are_refused() -> None:
    model = small()
    symbols = np.zeros((1, 2, 3, 4), np.int32)
    for bad, side in ((symbols[0, 0], None), (symbols, np.zeros((1, *symbols.shape))), (symbols + 0.5, None)):
        with pytest.raises(ValueError):
            entropy.encode_symbols(model, bad, side)
    with pytest.raises(ValueError, match="table"):
        entropy.encode_symbols(
            entropy.Autoregressive(LAPLACE.tables, model.taps, model.maps, model.layers, model.grid),
            symbols,
        )
    with pytest.raises(LimitExceeded):
        entropy.decode_symbols(model, b"", (1, 1, 2**20, 2**20))
    closed = entropy.Tables.from_pmf([[0.5, 0.5]] * 6, [0] * 6, escape=False)
    with pytest.raises(ValueError, match="escape"):
        entropy.encode_symbols(
            entropy.Autoregressive(closed, model.taps, model.maps, model.layers, model.grid), symbols + 2
        )


@pytest.mark.parametrize("mean", [False, True])
def test_damage_raises(mean: bool) -> None:
    symbols = np.random.default_rng(0).integers(-3, 4, (1, 2, 5, 6)).astype(np.int32)
    model = small(mean)
    payload = entropy.encode_symbols(model, symbols)
    for end in range(len(payload)):
        with pytest.raises(CorruptStream):
            entropy.decode_symbols(model, payload[:end], symbols.shape)
    for bit in range(8 * len(payload)):
        damaged = bytearray(payload)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises((CorruptStream, UnsupportedStream)):
            entropy.decode_symbols(model, damaged, symbols.shape)


@given(data=st.data())
def test_unchecked_damage_raises_or_gives_symbols(data: st.DataObject) -> None:
    symbols = np.random.default_rng(0).integers(-3, 4, (1, 2, 5, 6)).astype(np.int32)
    model = small(True)
    payload = bytearray(model.encode(symbols, check=False))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        back = model.decode(bytes(payload), symbols.shape, check=False)
    except (CorruptStream, UnsupportedStream):
        return
    assert back.shape == symbols.shape


def test_limits_count_the_rows_that_the_network_reads() -> None:
    """Two symbols, but 600 rows of inputs with their margins."""
    taps = [(0, -row, 0) for row in range(1, 601)]
    layers = [entropy.Layer(np.zeros((1, 600), np.int8), np.array([0]), np.array([1]), 1)]
    model = entropy.Autoregressive(LAPLACE.tables, taps, entropy.identity_map()[None], layers, (12,))
    payload = entropy.encode_symbols(model, np.zeros((1, 2, 1), int))
    takes = 4 * 2 + 601 * (1 + 144) + 4 * 150 * (16 + 16) + (2 + 1 + 64) + 6
    assert model._held.working_bytes([1, 1, 2, 1]) == takes - 8
    entropy.decode_symbols(model, payload, (1, 2, 1), limits=Limits(max_output_bytes=takes))
    with pytest.raises(LimitExceeded):
        entropy.decode_symbols(model, payload, (1, 2, 1), limits=Limits(max_output_bytes=takes - 1))
    empty = entropy.encode_symbols(model, np.zeros((0, 5, 5, 5), int))
    assert entropy.decode_symbols(model, empty, (0, 5, 5, 5), limits=Limits(max_output_bytes=0)).size == 0


@pytest.mark.parametrize("weights", [[[1, 2]], np.ones((1, 2)), np.ones(2, np.int8), None])
def test_weights_of_another_kind_are_refused(weights: Any) -> None:
    with pytest.raises(ValueError, match="weights are int8"):
        entropy.Layer(weights, np.array([0]), np.array([1]), 8)


@pytest.mark.parametrize(
    ("fields", "error", "said"),
    [
        ({"tables": None}, TypeError, "Tables or Adaptive"),
        ({"tables": LAPLACE}, TypeError, "ScaleFamily"),
        ({"layers": [1]}, TypeError, "class Layer"),
        ({"layers": []}, ValueError, "equally many"),
        ({"maps": [[1, 2, 3]]}, ValueError, "maps are uint8"),
        ({"maps": None}, ValueError, "maps are uint8"),
        ({"grid": (-12,)}, ValueError, "counts"),
        ({"grid": (2**40,)}, ValueError, "counts"),
        ({"grid": ()}, ValueError, "one side or two"),
        ({"grid": ("12",)}, TypeError, "integer"),
        ({"num_sides": -1}, ValueError, "counts"),
        ({"num_sides": 0.5}, TypeError, "integer"),
    ],
)
def test_parts_of_another_kind_are_refused(fields: dict[str, Any], error: type, said: str) -> None:
    layer = entropy.Layer(np.array([[12]], np.int8), np.array([0]), np.array([1]), 8)
    sound = {
        "tables": LAPLACE.tables,
        "taps": [(0, 0, -1)],
        "maps": entropy.identity_map()[None],
        "layers": [layer],
        "grid": (12,),
    }
    entropy.Autoregressive(**sound)
    with pytest.raises(error, match=said):
        entropy.Autoregressive(**{**sound, **fields})
    for shift in (0, 31, -1, 2**40):
        with pytest.raises(ValueError, match="1 to 30"):
            entropy.Layer(layer.weights, layer.bias, layer.multiplier, shift)
    with pytest.raises(TypeError):
        entropy.Layer(layer.weights, layer.bias, layer.multiplier, 2.5)


def test_another_network_or_side_is_told() -> None:
    layers = [entropy.Layer(np.array([[0, 24]], np.int8), np.array([0]), np.array([1]), 8)]
    model = entropy.Autoregressive(
        LAPLACE.tables, [(0, 0, -1)], entropy.identity_map()[None], layers, (12,), num_sides=1
    )
    symbols = np.random.default_rng(0).integers(-3, 4, (1, 2, 5, 6)).astype(np.int32)
    sides = np.random.default_rng(0).integers(0, 128, (1, *symbols.shape)).astype(np.uint8)
    payload = entropy.encode_symbols(model, symbols, sides)
    with pytest.raises(CorruptStream, match="another side"):
        entropy.decode_symbols(model, payload, symbols.shape, 127 - sides)
    first = model.layers[0]
    other = first.weights.copy()
    other.flat[0] ^= 1
    layers = [autoregressive.Layer(other, first.bias, first.multiplier, first.shift), *model.layers[1:]]
    changed = entropy.Autoregressive(
        model.tables, model.taps, model.maps, layers, model.grid, model.num_sides, model.mean
    )
    with pytest.raises(CorruptStream, match="tables differ"):
        entropy.decode_symbols(changed, payload, symbols.shape, sides)
