import jax
import jax.numpy as jnp
import numpy as np

from ocrgan_jax.forging.augmentation import Augmentation, augment

IMAGES = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (6, 32, 32, 3)), jnp.float32)


def test_shifts_repeat_the_border_and_differ_between_images() -> None:
  settings = Augmentation(shift=16, brightness=0)  # 2 pixels of 32
  shifted = np.asarray(augment(jax.random.key(0), IMAGES, settings))
  padded = np.pad(np.asarray(IMAGES), ((0, 0), (2, 2), (2, 2), (0, 0)), mode='edge')
  found = set()
  for image, around in zip(shifted, padded, strict=True):
    places = [
      (down, right)
      for down in range(5)
      for right in range(5)
      if (image == around[down : down + 32, right : right + 32]).all()
    ]
    assert len(places) == 1
    found.add(places[0])
  assert len(found) > 2


def test_brightness_is_a_gain_from_black_within_its_bound() -> None:
  settings = Augmentation(shift=0, brightness=0.2)
  dark = IMAGES * 0.3 - 0.6  # nothing is clipped
  gain = (np.asarray(augment(jax.random.key(0), dark, settings)) + 1) / (np.asarray(dark) + 1)
  assert np.ptp(gain, axis=(1, 2, 3)).max() < 1e-4
  each = gain[:, 0, 0, 0]
  assert each.min() >= 0.8 - 1e-4 and each.max() <= 1.2 + 1e-4 and np.ptp(each) > 0.05
  clipped = augment(jax.random.key(0), jnp.ones_like(IMAGES), settings)
  assert clipped.max() == 1
