import numpy as np
import pytest

from narrows.eval.metrics.image import ms_ssim, ms_ssim_db, psnr


def calibration_pictures(height, width):
    """Three integer pictures that any program can rebuild: waves, waves with noise, waves in 8x8 blocks."""
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack(
        [
            127.5 + 100 * np.sin(2 * np.pi * (x / 16 + y / 23)),
            127.5 + 100 * np.cos(2 * np.pi * (x / 11 - y / 31)),
            255 * ((x + 2 * y) % 64) / 63,
        ],
        axis=-1,
    )
    plain = np.clip(np.floor(waves + 0.5), 0, 255)
    state, noise = 12345, []
    for _ in range(plain.size):
        state = (1103515245 * state + 12345) % 2**31
        noise.append((state >> 16) % 64 - 32)
    noisy = np.clip(plain + np.reshape(noise, plain.shape), 0, 255)
    blocks = plain.reshape(height // 8, 8, width // 8, 8, 3).mean(axis=(1, 3))
    blocky = np.floor(blocks + 0.5).repeat(8, axis=0).repeat(8, axis=1)
    return plain.astype(np.uint8), noisy.astype(np.uint8), blocky.astype(np.uint8)


def test_known_values():
    """PSNR by hand; MS-SSIM as pytorch-msssim 1.0.0 gives in float64."""
    plain, noisy, blocky = calibration_pictures(192, 256)
    assert [int(p.sum()) for p in (plain, noisy, blocky)] == [18_801_824, 18_726_907, 18_800_256]
    assert psnr(plain, noisy) == pytest.approx(22.9276, abs=5e-5)
    assert psnr(plain, blocky) == pytest.approx(12.5512, abs=5e-5)
    assert ms_ssim(plain, noisy) == pytest.approx(0.984242, abs=2e-6)
    assert ms_ssim(plain, blocky) == pytest.approx(0.593761, abs=2e-6)


def test_equal_pictures():
    plain, _, _ = calibration_pictures(176, 168)
    assert psnr(plain, plain) == float("inf")
    assert ms_ssim(plain, plain) == pytest.approx(1, abs=1e-12)
    assert ms_ssim_db(1.0) == float("inf")
    assert ms_ssim_db(0.99) == pytest.approx(20)


def test_peak_scales_with_the_samples():
    plain, noisy, _ = calibration_pictures(176, 168)
    wide, wide_noisy = plain.astype(np.uint16) * 257, noisy.astype(np.uint16) * 257
    assert psnr(wide, wide_noisy, peak=65535) == pytest.approx(psnr(plain, noisy))
    assert ms_ssim(wide, wide_noisy, peak=65535) == pytest.approx(ms_ssim(plain, noisy))


def test_channels_are_averaged_and_grey_needs_no_channel_axis():
    plain, noisy, _ = calibration_pictures(176, 168)
    planes = [ms_ssim(plain[:, :, c], noisy[:, :, c]) for c in range(3)]
    assert ms_ssim(plain, noisy) == pytest.approx(np.mean(planes))


def test_scale_statistics_agree_with_scikit_image():
    metrics = pytest.importorskip("skimage.metrics", reason="scikit-image is the oracle here")
    from narrows.eval.metrics.image import _ssim_means

    plain, noisy, _ = calibration_pictures(64, 72)
    _, full = metrics.structural_similarity(
        plain[:, :, 0], noisy[:, :, 0], gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        data_range=255, full=True,
    )  # fmt: skip
    ours = _ssim_means(plain[:, :, 0].astype(float), noisy[:, :, 0].astype(float), 255)[0]
    assert ours == pytest.approx(full[5:-5, 5:-5].mean(), abs=1e-9)


def test_odd_sides_and_rows_of_any_block_split():
    plain, noisy, _ = calibration_pictures(1208, 168)
    tall = ms_ssim(plain, noisy)
    assert tall == pytest.approx(ms_ssim(plain.transpose(1, 0, 2), noisy.transpose(1, 0, 2)), abs=1e-12)
    assert 0.9 < ms_ssim(plain[:163, :165], noisy[:163, :165]) < 1


@pytest.mark.parametrize("metric", [psnr, ms_ssim])
def test_pictures_that_cannot_be_compared_are_refused(metric):
    with pytest.raises(ValueError, match="differ in shape"):
        metric(np.zeros((200, 200, 3)), np.zeros((200, 200)))
    with pytest.raises(ValueError, match="not a picture"):
        metric(np.zeros(9), np.zeros(9))


def test_small_pictures_are_refused_by_ms_ssim():
    with pytest.raises(ValueError, match="too small"):
        ms_ssim(np.zeros((160, 300), np.uint8), np.zeros((160, 300), np.uint8))
