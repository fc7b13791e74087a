"""SSIM against OpenCV's filters, on real photographs."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ocrgan_jax.scoring.similarity import ssim
from tests.conftest import DATA


@pytest.fixture(scope='module')
def photographs() -> np.ndarray:
  """Two bottles, uint8 [2, 64, 64, 3]."""
  paths = sorted((DATA / 'mvtec_ad/bottle/test').glob('*/000.png'))[:2]
  if not paths:
    pytest.skip(f'no real images at {DATA}; set OCRGAN_DATA_DIR')
  return np.stack(
    [cv2.resize(cv2.imread(str(p)), (64, 64), interpolation=cv2.INTER_AREA) for p in paths]
  )


def to_float(images: np.ndarray) -> jax.Array:
  return jnp.asarray(images / np.float32(127.5) - 1)


def test_ssim_agrees_with_wangs_definition(photographs: np.ndarray) -> None:
  """For values 0 to 255, with his constants, filtered by OpenCV and without the borders."""
  blur = lambda image: cv2.GaussianBlur(image, (11, 11), 1.5)[5:-5, 5:-5]
  x, y = photographs.astype(np.float64)
  c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
  mx, my = blur(x), blur(y)
  vx, vy, cov = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
  luminance = (2 * mx * my + c1) / (mx**2 + my**2 + c1)
  expected = luminance * (2 * cov + c2) / (vx + vy + c2)
  first, second = to_float(photographs[:1]), to_float(photographs[1:])
  found = jax.jit(ssim)(first, second)[0].transpose(1, 2, 0)
  np.testing.assert_allclose(found, expected, atol=2e-3)
  np.testing.assert_allclose(ssim(first, first), 1, atol=1e-5)
