import numpy as np
import pytest

from narrows.eval.curves import Curve, bd_rate, bootstrap_t, mean_bd_rate, pchip_slopes, rate_at

ANCHOR = Curve([100, 200, 400, 800, 1600], [28, 31, 34, 37, 40])
TEST = Curve([80, 160, 330, 680, 1400], [27.9, 31.2, 34.3, 37.1, 39.9])


def test_known_answer():
    """The value that the independent package bjontegaard 1.3.0 gives with its PCHIP method."""
    assert bd_rate(ANCHOR, TEST) == pytest.approx(-20.0760, abs=5e-5)


def test_a_curve_at_four_fifths_of_its_rate_is_minus_twenty():
    cheaper = Curve([0.8 * r for r in ANCHOR.rate], ANCHOR.quality)
    assert bd_rate(ANCHOR, cheaper) == pytest.approx(-20, abs=1e-9)
    assert bd_rate(cheaper, ANCHOR) == pytest.approx(25, abs=1e-9)


def test_points_in_any_order_and_dominated_points_change_nothing():
    shuffled = Curve([1600, 100, 900, 400, 200, 800], [40, 28, 36.5, 34, 31, 37])
    assert bd_rate(shuffled, TEST) == bd_rate(ANCHOR, TEST)


def test_only_common_qualities_count():
    top = Curve([3200, 6400, 12800], [43, 46, 49])
    with pytest.raises(ValueError, match="no quality in common"):
        bd_rate(ANCHOR, top)


@pytest.mark.parametrize(
    ("rate", "quality", "message"),
    [
        ([1, 2], [1, 2], "needs 3 points"),
        ([1, 2, 3], [3, 2, 1], "needs 3 points"),
        ([0, 1, 2], [1, 2, 3], "positive"),
        ([1, 2, 3], [1, 2, float("inf")], "finite"),
        ([1, 2, 3], [1, 2], "as many rates"),
    ],
)
def test_a_curve_that_cannot_be_compared_is_refused(rate, quality, message):
    with pytest.raises(ValueError, match=message):
        bd_rate(ANCHOR, Curve(rate, quality))


def test_slopes_and_integral_agree_with_scipy():
    interpolate = pytest.importorskip("scipy.interpolate", reason="scipy is the oracle here")
    rng = np.random.default_rng(3)
    for size in (3, 4, 8, 20):
        x = np.cumsum(rng.uniform(0.1, 3, size))
        for y in (np.cumsum(rng.exponential(1, size)), rng.normal(size=size)):
            oracle = interpolate.PchipInterpolator(x, y)
            assert pchip_slopes(x, y) == pytest.approx(oracle.derivative()(x), abs=1e-12)
        low, high = x[0] + 0.3 * (x[1] - x[0]), x[-1] - 0.4 * (x[-1] - x[-2])
        y = np.cumsum(rng.exponential(1, size))
        flat = Curve(np.full(3, np.e) ** [1, 1.5, 2], [low, (low + high) / 2, high])
        mean = interpolate.PchipInterpolator(x, y).integrate(low, high) / (high - low)
        assert bd_rate(flat, Curve(np.exp(y), x)) == pytest.approx(100 * np.expm1(mean - 1.5), rel=1e-9)


def test_rate_at_a_measured_quality_is_the_measured_rate():
    assert [rate_at(ANCHOR, q) for q in ANCHOR.quality] == pytest.approx(ANCHOR.rate)
    assert 200 < rate_at(ANCHOR, 32) < 400
    assert np.isnan(rate_at(ANCHOR, 41))


def test_mean_over_files():
    doubled = Curve([2 * r for r in ANCHOR.rate], ANCHOR.quality)
    halved = Curve([r / 2 for r in ANCHOR.rate], ANCHOR.quality)
    result = mean_bd_rate([ANCHOR, ANCHOR], [doubled, halved])
    assert result.per_file == pytest.approx((100, -50))
    assert result.mean == pytest.approx(25)
    assert result.mean_of_logs == pytest.approx(0, abs=1e-9)
    assert result.overlap == pytest.approx(1)


def test_interval_covers_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(300):
        low, high = bootstrap_t(rng.normal(10, 3, 24), resamples=300)
        hits += low < 10 < high
    assert 0.91 < hits / 300 < 0.98


@pytest.mark.parametrize("values", [[3.0], [1.0, 2.0, 3.0, 4.0], [3.0] * 9])
def test_interval_of_few_or_equal_values_is_unknown(values):
    assert all(np.isnan(bootstrap_t(np.array(values))))


def test_a_mean_without_interval_prints_without_one():
    assert str(mean_bd_rate([ANCHOR], [TEST])) == "-20.1 %"
