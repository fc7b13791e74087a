import itertools

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ocrgan_jax.networks import frequency_decoupling

decouple = jax.jit(frequency_decoupling, static_argnums=1)


def random_images(size: int) -> np.ndarray:
  return np.random.default_rng(size).uniform(-1, 1, (2, size, size, 3)).astype(np.float32)


def opencv_level(images: np.ndarray) -> np.ndarray:
  return np.stack([cv2.pyrUp(cv2.pyrDown(image)) for image in images])


@pytest.mark.parametrize('size', [32, 256])
@pytest.mark.parametrize('branches', [1, 2, 3])
def test_bands_are_those_of_opencv_pyramids(size: int, branches: int) -> None:
  images = random_images(size)
  blurred = [images]
  for _ in range(branches - 1):
    blurred.insert(0, opencv_level(blurred[0]))
  expected = [blurred[0], *(b - a for a, b in itertools.pairwise(blurred))]
  bands = decouple(jnp.asarray(images), branches)
  assert len(bands) == branches
  for band, wanted in zip(bands, expected, strict=True):
    np.testing.assert_allclose(band, wanted, atol=1e-5)


@pytest.mark.parametrize('branches', [1, 2, 5])
def test_bands_add_up_to_the_image(branches: int) -> None:
  images = random_images(32)
  bands = decouple(jnp.asarray(images), branches)
  np.testing.assert_allclose(sum(bands), images, atol=1e-6)


def test_a_constant_image_has_only_the_lowest_band() -> None:
  low, *high = frequency_decoupling(jnp.full((1, 32, 32, 3), 0.3), 3)
  np.testing.assert_allclose(low, 0.3, atol=1e-6)
  np.testing.assert_allclose(high, 0, atol=1e-6)


def test_high_bands_keep_their_sign() -> None:
  # The release lost the negative half.
  _, high = frequency_decoupling(jnp.asarray(random_images(32)), 2)
  assert high.min() < -0.5 and high.max() > 0.5


def test_odd_sizes_and_no_branches_are_refused() -> None:
  with pytest.raises(ValueError, match='even'):
    frequency_decoupling(jnp.zeros((1, 33, 32, 3)), 2)
  with pytest.raises(ValueError, match='at least 1'):
    frequency_decoupling(jnp.zeros((1, 32, 32, 3)), 0)
