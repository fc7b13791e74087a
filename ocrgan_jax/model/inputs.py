"""Prepares the networks' inputs: converts, splits and forges images.

Only this module maps uint8 to [-1, 1], so that images, forged images and reconstructions have the
same range.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from ocrgan_jax.forging.cutpaste import FAMILIES, forge
from ocrgan_jax.model.ocrgan import OCRGAN
from ocrgan_jax.model.state import State
from ocrgan_jax.networks import frequency_decoupling

# Number of validation's draw; the steps of training number theirs from 0.
VALIDATION_DRAW = 2**32 - 1


def to_float(images: jax.Array) -> jax.Array:
  """Maps colours from uint8 [0, 255] to float32 [-1, 1]; drops a fourth channel."""
  return images[..., :3].astype(jnp.float32) / 127.5 - 1


def valid_pixels(images: jax.Array) -> jax.Array | None:
  """The mask of pixels that count, bool [batch, size, size]; None without a fourth channel."""
  return images[..., 3] > 0 if images.shape[-1] == 4 else None


def split(model: OCRGAN, images: jax.Array) -> tuple[list[jax.Array], jax.Array]:
  """Returns the bands that the model keeps and their sum, its target for reconstruction.

  If it keeps all bands, the sum is exactly the image.
  """
  bands = frequency_decoupling(images, model.branches)
  if len(model.bands) == model.branches:
    return bands, images
  bands = [bands[i] for i in model.bands]
  return bands, add_arrays(bands)


def add_arrays(arrays: Sequence[jax.Array]) -> jax.Array:
  """Adds arrays of equal shape, in order."""
  return functools.reduce(jnp.add, arrays)


def forge_batch(model: OCRGAN, key: jax.Array, images: jax.Array) -> jax.Array:
  """Forges anomalies into float images, by the model's settings for training."""
  return forge(key, images, **{name: getattr(model.forgery, name) for name in FAMILIES})


def forged_step(state: State, images: jax.Array, *, model: OCRGAN) -> jax.Array:
  """Forges anomalies into uint8 images for validation, the same ones at every validation.

  Args:
    state: provides the random key.
    images: uint8 [batch, size, size, 3 or 4].
    model: the static description.

  Returns:
    uint8 array shaped like `images`, forged only in pixels that count.
  """
  real = to_float(images)
  forged = forge_batch(model, state.random_key(jnp.uint32(VALIDATION_DRAW)), real)
  valid = valid_pixels(images)
  if valid is not None:
    forged = jnp.where(valid[..., None], forged, real)
  forged = jnp.round((forged + 1) * 127.5).astype(jnp.uint8)
  return jnp.concatenate([forged, images[..., 3:]], axis=-1) if valid is not None else forged
