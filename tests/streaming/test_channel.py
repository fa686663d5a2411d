import pytest

from narrows.errors import OptionError
from narrows.streaming.channel import Channel, GilbertElliott


def bursts(pattern):
    """Lengths of the runs of True."""
    lengths, run = [], 0
    for lost in [*pattern, False]:
        if lost:
            run += 1
        elif run:
            lengths.append(run)
            run = 0
    return lengths


@pytest.mark.parametrize("loss", [0.01, 0.05, 0.1, 0.2])
@pytest.mark.parametrize("burst", [None, 2, 4])
def test_loss_rate_and_mean_burst(loss, burst):
    pattern = GilbertElliott(loss, burst, seed=1).pattern(200_000)
    assert sum(pattern) / len(pattern) == pytest.approx(loss, rel=0.06)
    lengths = bursts(pattern)
    assert sum(lengths) / len(lengths) == pytest.approx(burst or 1 / (1 - loss), rel=0.05)


def test_the_ends_of_the_scale():
    assert not any(GilbertElliott(0, seed=3).pattern(1000))
    assert all(GilbertElliott(1, seed=3).pattern(1000))
    assert all(GilbertElliott(1, 2, seed=3).pattern(1000))


def test_the_seed_decides_and_jitter_changes_no_loss():
    def fates(**more):
        channel = Channel(loss=0.2, burst=2, **more)
        for i in range(500):
            channel.send(b"x", i * 0.02)
        return [passage.lost for passage in channel.log]

    assert fates(seed=1) == fates(seed=1) == fates(seed=1, jitter_ms=40, duplicate=0.3)
    assert fates(seed=1) != fates(seed=2)
    assert fates(seed=1) == GilbertElliott(0.2, 2, seed=1).pattern(500)


def test_delay_stays_in_its_bounds_and_packets_overtake():
    channel = Channel(delay_ms=10, jitter_ms=60, seed=1)
    arrivals = [channel.send(bytes([i]), i * 0.02)[0][0] for i in range(200)]
    delays = [arrival - i * 0.02 for i, arrival in enumerate(arrivals)]
    assert 0.01 <= min(delays) < 0.015
    assert 0.065 < max(delays) <= 0.07
    assert arrivals != sorted(arrivals)


def test_the_log_tells_what_happened():
    channel = Channel(loss=0.3, duplicate=0.5, jitter_ms=5, seed=4)
    received = [arrival for i in range(300) for arrival, _ in channel.send(b"abc", i * 0.02)]
    assert received == [arrival for passage in channel.log for arrival in passage.arrivals_s]
    assert channel.num_lost == sum(not passage.arrivals_s for passage in channel.log)
    assert {len(passage.arrivals_s) for passage in channel.log} == {0, 1, 2}
    assert all(passage.num_bytes == 3 for passage in channel.log)


@pytest.mark.parametrize(
    "options",
    [
        {"loss": -0.1},
        {"loss": 1.1},
        {"burst": 0.5},
        {"loss": 0.9, "burst": 2},
        {"jitter_ms": -1},
        {"duplicate": 2},
    ],
)
def test_what_no_network_does_is_refused(options):
    with pytest.raises(OptionError):
        Channel(**options)
