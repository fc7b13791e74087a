import numpy as np
import pytest

from ocrgan_jax.scoring import Calibration, calibrate, content_error, latent_error, scale


def test_errors_are_per_image() -> None:
  images = np.zeros((2, 2, 2, 3), np.float32)
  made = images.copy()
  made[1] = 0.5
  np.testing.assert_allclose(content_error(images, made, 'l1'), [0, 0.5])
  np.testing.assert_allclose(content_error(images, made, 'squared'), [0, 0.25])
  np.testing.assert_allclose(latent_error(np.zeros((2, 4)), np.array([[2.0] * 4, [0] * 4])), [4, 0])


def test_calibration_scales_held_out_scores_to_0_and_1() -> None:
  held_out = np.array([2.0, 4.0, 3.0, 6.0])
  calibration = calibrate(held_out, 0.5)
  assert calibration == Calibration(2.0, 6.0, 3.5, 4)  # the median threshold, by hand
  np.testing.assert_allclose(scale(held_out, calibration), [0, 0.5, 0.25, 1])
  assert scale(np.array([8.0]), calibration) == pytest.approx(1.5)  # Eq. 14 past its maximum


def test_one_held_out_image_still_gives_a_scale() -> None:
  calibration = calibrate(np.array([2.0]), 0.99)
  assert scale(np.array([2.5]), calibration) == pytest.approx(0.5)
