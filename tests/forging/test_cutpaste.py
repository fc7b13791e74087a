import colorsys
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ocrgan_jax.forging import cutpaste as forging


def images(batch: int = 64, size: int = 64) -> jax.Array:
  return jax.random.uniform(jax.random.key(9), (batch, size, size, 3), minval=-1, maxval=1)


@functools.partial(jax.jit, static_argnames=('cutpaste', 'cutout'))
def forge(seed: int, x: jax.Array, *, cutpaste: bool = True, cutout: bool = True) -> jax.Array:
  return forging.forge(jax.random.key(seed), x, cutpaste=cutpaste, cutout=cutout)


@pytest.mark.parametrize(('cutpaste', 'cutout'), [(True, False), (False, True), (True, True)])
def test_forgeries_come_from_their_key_and_stay_in_range(cutpaste: bool, cutout: bool) -> None:
  x = images()
  first, again, other = (forge(s, x, cutpaste=cutpaste, cutout=cutout) for s in (0, 0, 1))
  np.testing.assert_array_equal(first, again)
  assert (first != other).any()
  assert first.shape == x.shape and first.dtype == x.dtype
  assert first.min() >= -1 and first.max() <= 1
  assert (first != x).any((1, 2, 3)).all()  # every image is forged


def test_forgeries_differ_within_a_batch() -> None:
  x = jnp.tile(images(1), (8, 1, 1, 1))
  for kinds in ({'cutpaste': False}, {'cutout': False}):
    forged = np.asarray(forge(0, x, **kinds)).reshape(8, -1)
    assert len(np.unique(forged, axis=0)) == 8


def test_without_cutpaste_and_cutout_nothing_changes() -> None:
  x = images(2)
  np.testing.assert_array_equal(forge(0, x, cutpaste=False, cutout=False), x)


def test_cutpaste_changes_one_rectangle_of_the_stated_area() -> None:
  x = images()
  changed = np.asarray((forge(0, x, cutout=False) != x).any(-1))
  shares, ratios = [], []
  for mask in changed:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert mask.sum() > 0.98 * height * width  # a jittered pixel is hardly ever the same
    shares.append(height * width / mask.size)
    ratios.append(width / height)
  # Sides are rounded to whole pixels.
  assert 0.015 < min(shares) < 0.04 and 0.12 < max(shares) < 0.16
  assert np.mean(shares) == pytest.approx(0.085, abs=0.015)
  assert 0.25 < min(ratios) < 0.5 and 2 < max(ratios) < 4
  assert np.mean(np.log(ratios)) == pytest.approx(0, abs=0.3)


def test_cutpaste_pastes_the_image_itself() -> None:
  # A grey image of two values: every pasted colour is near one of them.
  x = jnp.where(images()[..., :1] > 0, 0.5, -0.5) * jnp.ones(3)
  forged = np.asarray(forge(0, x, cutout=False))
  assert np.abs(np.abs(forged) - 0.5).max() < 0.35
  assert (np.abs(forged - np.asarray(x)).max((1, 2, 3)) > 0.5).all()  # moved, not only jittered


@pytest.mark.parametrize(('size', 'side'), [(32, 2), (64, 5), (256, 20)])
def test_cutout_is_one_black_square(size: int, side: int) -> None:
  x = images(64, size) * 0.9
  changed = np.asarray((forge(0, x, cutpaste=False) != x).any(-1))
  forged = np.asarray(forge(0, x, cutpaste=False))
  assert (forged[changed] == -1).all()
  areas = changed.sum((1, 2))
  assert areas.max() == side**2  # where the border does not clip it
  assert (areas <= side**2).all() and (areas > 0).all()


def test_hue_shifts_as_in_the_standard_library() -> None:
  rgb = np.random.default_rng(0).uniform(0, 1, (50, 3)).astype(np.float32)
  turned = np.stack(forging._turn_hue(list(jnp.asarray(rgb.T)), jnp.float32(0.07)), -1)
  for colour, result in zip(rgb, turned, strict=True):
    hue, saturation, value = colorsys.rgb_to_hsv(*colour)
    expected = colorsys.hsv_to_rgb((hue + 0.07) % 1, saturation, value)
    np.testing.assert_allclose(result, expected, atol=1e-4)


def test_colours_are_jittered_by_up_to_a_tenth() -> None:
  def jitter(colour: tuple[float, ...]) -> np.ndarray:
    flat = jnp.full((2, 2, 3), 1.0) * (2 * jnp.array(colour) - 1)
    once = lambda key: forging.color_jitter(key, flat, jnp.full((2, 2, 1), True))
    return (np.asarray(jax.vmap(once)(jax.random.split(jax.random.key(0), 2000)))[:, 0, 0] + 1) / 2

  # Of flat grey only brightness changes.
  factors = jitter((0.5, 0.5, 0.5)) / 0.5
  assert 0.9 <= factors.min() < 0.902 and 1.098 < factors.max() <= 1.1001
  hsv = np.array([colorsys.rgb_to_hsv(*colour) for colour in jitter((0.6, 0.5, 0.4))])
  turned = hsv[:, 0] - colorsys.rgb_to_hsv(0.6, 0.5, 0.4)[0]
  turned -= np.round(turned)
  assert -0.1001 < turned.min() < -0.098 and 0.098 < turned.max() < 0.1001
  # The distance of largest and least is multiplied by all three other factors, each U(0.9, 1.1).
  chroma = np.log(hsv[:, 1] * hsv[:, 2] / 0.2)
  assert chroma.std() == pytest.approx(np.sqrt(3 * 0.1**2 / 3), rel=0.05)


def test_grey_images_stay_grey() -> None:
  x = images()[..., :1] * jnp.ones(3)
  forged = np.asarray(forge(0, x))
  np.testing.assert_allclose(forged[..., 0], forged[..., 2], atol=1e-6)
