import jax
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ocrgan_jax.scoring import (
  LEAST_UNIT,
  Calibration,
  at_size,
  calibrate,
  content_error,
  difference_map,
  latent_error,
  map_score,
  map_unit,
  scale,
  smooth,
)

UNIT = np.ones((2, 2), np.float32)


def fit(scores: list[float], quantile: float) -> Calibration:
  return calibrate(np.array(scores), quantile, map_unit=UNIT, map_maximum=2.0)


def test_errors_are_per_image() -> None:
  images = np.zeros((2, 2, 2, 3), np.float32)
  made = images.copy()
  made[1] = 0.5
  np.testing.assert_allclose(content_error(images, made, 'l1'), [0, 0.5])
  np.testing.assert_allclose(content_error(images, made, 'squared'), [0, 0.25])
  np.testing.assert_allclose(latent_error(np.zeros((2, 4)), np.array([[2.0] * 4, [0] * 4])), [4, 0])


@pytest.mark.parametrize('sigma', [0.0, 4.0, 16.0])
def test_the_map_is_the_difference_smoothed_as_scipy_does_it(sigma: float) -> None:
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


def test_the_unit_of_a_map_is_what_normal_images_show() -> None:
  mean_map = np.array([[0.0, 2.0], [2.0, 4.0]])  # 2 over all
  np.testing.assert_array_equal(map_unit(mean_map, 'overall'), [[2, 2], [2, 2]])
  np.testing.assert_allclose(map_unit(mean_map, 'pixel'), [[2 * LEAST_UNIT, 2], [2, 4]])


def test_calibration_scales_held_out_scores_to_0_and_1() -> None:
  held_out = [2.0, 4.0, 3.0, 6.0]
  calibration = fit(held_out, 0.5)
  assert calibration == Calibration(2.0, 6.0, 3.5, 4, UNIT, 2.0)  # the median threshold, by hand
  np.testing.assert_allclose(scale(np.array(held_out), calibration), [0, 0.5, 0.25, 1])
  assert scale(np.array([8.0]), calibration) == pytest.approx(1.5)  # Eq. 14 past its maximum


def test_one_held_out_image_still_gives_a_scale() -> None:
  assert scale(np.array([2.5]), fit([2.0], 0.99)) == pytest.approx(0.5)


@pytest.mark.parametrize('quantile', [0.0, 0.5, 0.75, 0.99, 1.0])
def test_the_threshold_is_the_quantile_of_held_out_scores_that_was_asked_for(
  quantile: float,
) -> None:
  # Of 101 equally spaced scores the quantile q is 100 q; shuffled, for the order must not count.
  scores = np.random.default_rng(0).permutation(101).astype(float)
  assert fit(scores.tolist(), quantile).threshold == pytest.approx(100 * quantile)


def test_maps_are_enlarged_as_jax_does_it() -> None:
  maps = np.random.default_rng(0).normal(size=(3, 8, 8)).astype(np.float32)
  expected = jax.image.resize(maps, (3, 16, 16), 'bilinear')
  np.testing.assert_allclose(at_size(maps, 16), expected, atol=1e-6)
