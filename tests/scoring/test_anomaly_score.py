import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ocrgan_jax.scoring.anomaly_score import (
  content_error,
  difference_map,
  latent_error,
  map_score,
  smooth,
)


def test_errors_are_per_image() -> None:
  images = np.zeros((2, 2, 2, 3), np.float32)
  made = images.copy()
  made[1] = 0.5
  np.testing.assert_allclose(content_error(images, made, 'l1'), [0, 0.5])
  np.testing.assert_allclose(content_error(images, made, 'squared'), [0, 0.25])
  np.testing.assert_allclose(latent_error(np.zeros((2, 4)), np.array([[2.0] * 4, [0] * 4])), [4, 0])


@pytest.mark.parametrize('sigma', [0.0, 4.0, 16.0])
def test_the_map_is_the_difference_smoothed_as_by_scipy(sigma: float) -> None:
  rng = np.random.default_rng(0)
  images, made = rng.uniform(-1, 1, (2, 3, 64, 64, 3)).astype(np.float32)
  difference = np.abs(images - made).mean(-1)
  # The sigma is given at 256 pixels: at 64 it is a quarter.
  expected = [gaussian_filter(d, sigma / 4) if sigma else d for d in difference]
  found = smooth(difference_map(images, made), sigma)
  np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_score_of_a_map_is_the_mean_of_its_largest_values() -> None:
  maps = np.random.default_rng(0).random((2, 64, 64), dtype=np.float32)
  # 200 pixels at 256 are 12.5 at 64, rounded to 12.
  expected = np.sort(maps.reshape(2, -1))[:, -12:].mean(1)
  np.testing.assert_allclose(map_score(maps, 200), expected, rtol=1e-6)
  np.testing.assert_allclose(map_score(maps, 1), maps.max((1, 2)))  # at least one pixel
  np.testing.assert_allclose(map_score(maps, 10**6), maps.mean((1, 2)), rtol=1e-5)
