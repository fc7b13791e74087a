import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ocrgan_jax.forging import mixtures
from ocrgan_jax.forging.mixtures import FAMILIES, forge_mixtures
from ocrgan_jax.forging.shapes import draw_shapes
from ocrgan_jax.model.inputs import forged_step
from ocrgan_jax.model.state import create_state
from ocrgan_jax.networks import frequency_decoupling
from tests.conftest import tiny_model


def images(batch: int = 8, size: int = 64) -> jax.Array:
  rng = np.random.default_rng(0)
  small = rng.uniform(-0.9, 0.9, (batch, 8, 8, 3)).astype(np.float32)
  return jnp.clip(jax.image.resize(small, (batch, size, size, 3), 'bilinear'), -1, 1)


@functools.partial(jax.jit, static_argnames='families')
def forge(key: int, x: jax.Array, families: tuple[str, ...]) -> tuple[jax.Array, jax.Array]:
  return forge_mixtures(jax.random.key(key), frequency_decoupling(x, 3), families)


def test_the_mask_is_zero_exactly_where_nothing_changed() -> None:
  x = images(64)
  forged, mask = forge(0, x, tuple(FAMILIES))
  assert forged.shape == x.shape and mask.shape == x.shape[:3]
  assert forged.min() >= -1 and forged.max() <= 1
  # Bands add up to the image but for rounding, which is no change to be learned.
  changed = np.abs(np.asarray(forged - sum(frequency_decoupling(x, 3)))).max(-1) > 0
  np.testing.assert_array_equal(np.asarray(mask) > 0, changed)
  assert (changed.mean((1, 2)) < 0.6).all() and changed.any((1, 2)).mean() > 0.9
  assert mask.max() <= 1


def test_the_mask_falls_with_the_opacity(monkeypatch: pytest.MonkeyPatch) -> None:
  x, masks = images(), {}
  for opacity in (1.0, 0.3, 0.1):
    monkeypatch.setattr(mixtures, 'OPACITY', (opacity, opacity))
    bands = frequency_decoupling(x, 3)
    masks[opacity] = np.asarray(forge_mixtures(jax.random.key(0), bands, ('other',))[1])
  assert (masks[1.0] >= masks[0.3]).all() and (masks[0.3] >= masks[0.1]).all()
  assert masks[1.0].sum() > masks[0.3].sum() > masks[0.1].sum() > 0


def test_forgeries_depend_only_on_their_key() -> None:
  x, families = images(64), tuple(FAMILIES)
  first, again, other = (forge(key, x, families)[0] for key in (0, 0, 1))
  np.testing.assert_array_equal(first, again)
  assert (first != other).any()


def test_grey_images_stay_grey() -> None:
  x = images(64).mean(-1, keepdims=True) * jnp.ones(3)
  forged = np.asarray(forge(0, x, tuple(FAMILIES))[0])
  np.testing.assert_allclose(forged[..., 0], forged[..., 2], atol=1e-5)
  # While colours of coloured images change: plain ones are among the families.
  coloured = np.asarray(forge(0, images(64), ('plain',))[0])
  assert np.abs(coloured - np.asarray(images(64))).max() > 0.5


def test_shapes_vary_in_size() -> None:
  keys = jax.random.split(jax.random.key(0), 200)
  masks = np.asarray(jax.jit(jax.vmap(lambda key: draw_shapes(key, 128)))(keys))
  assert masks.min() == 0 and masks.max() == 1
  assert ((masks > 0) & (masks < 1)).any()  # soft borders
  areas = masks.mean((1, 2))
  assert np.quantile(areas, 0.1) < 0.003 and 0.05 < np.quantile(areas, 0.95) < 0.4


def test_validation_by_mixtures_has_the_same_copies_each_time() -> None:
  model, images_ = tiny_model(forgery__validation='unseen'), (images(8, 32) + 1) * 127.5
  state = jax.jit(functools.partial(create_state, model))(0)
  step = jax.jit(functools.partial(forged_step, model=model))
  real = np.asarray(images_).astype(np.uint8)
  first, second = (np.asarray(step(state, np.uint32(n), real)) for n in (0, 1))
  assert (first == np.asarray(step(state, np.uint32(0), real))).all()
  assert (first != second).any()
  assert (first != real).any((1, 2, 3)).mean() > 0.5
