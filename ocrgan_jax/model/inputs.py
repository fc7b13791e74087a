"""How images come in: as floats, as bands, and forged.

uint8 is mapped to [-1, 1] here, in one place, so that image, forged image and
reconstruction live in the same space.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from ocrgan_jax.density import gaussian
from ocrgan_jax.density.band_statistics import band_statistics
from ocrgan_jax.forging import mixtures
from ocrgan_jax.forging.cutpaste import FAMILIES, forge
from ocrgan_jax.forging.mixtures import forge_mixtures
from ocrgan_jax.model.ocrgan import OCRGAN
from ocrgan_jax.model.state import State
from ocrgan_jax.networks import frequency_decoupling

# The first draw of validation; the next ones count down, and those of training up from 0.
VALIDATION_DRAW = 2**32 - 1
MIXED_BANDS = 3  # that mixtures are made of


def to_float(images: jax.Array) -> jax.Array:
  """uint8 [0, 255] → float32 [-1, 1], the same for every image; of its colours alone."""
  return images[..., :3].astype(jnp.float32) / 127.5 - 1


def counts_of(images: jax.Array) -> jax.Array | None:
  """Where pixels count: bool [batch, size, size]; None of images without a fourth channel."""
  return images[..., 3] > 0 if images.shape[-1] == 4 else None


def split(model: OCRGAN, images: jax.Array) -> tuple[list[jax.Array], jax.Array]:
  """The bands that the model keeps, and their sum, which is what it reconstructs.

  With all bands kept the sum is the image itself, to the last bit.
  """
  bands = frequency_decoupling(images, model.branches)
  if len(model.bands) == model.branches:
    return bands, images
  bands = [bands[i] for i in model.bands]
  return bands, summed(bands)


def summed(arrays: Sequence[jax.Array]) -> jax.Array:
  """The sum of arrays of one shape, added in their order."""
  return functools.reduce(jnp.add, arrays)


def deviations_of(model: OCRGAN, state: State, images: jax.Array) -> jax.Array | None:
  """What a D that is given deviations is given: [batch, size / 2, size / 2, c], or None."""
  if not model.sees_deviations:
    return None
  return gaussian.deviations(state.density, band_statistics(images))


def half_size(masks: jax.Array) -> jax.Array:
  """Means over 2×2 pixels: [batch, size, size] → [batch, size / 2, size / 2]."""
  batch, size, _ = masks.shape
  return masks.reshape(batch, size // 2, 2, size // 2, 2).mean((2, 4))


def forge_batch(model: OCRGAN, key: jax.Array, images: jax.Array) -> jax.Array:
  """Forges anomalies into float images as the model's settings say."""
  settings = model.forgery
  forged = forge(key, images, **{name: getattr(settings, name) for name in FAMILIES})
  # Keys of their own, so that what the paper forges does not depend on these settings.
  mixture_key, share_key = jax.random.split(jax.random.fold_in(key, 1))
  if settings.mixtures:
    bands = frequency_decoupling(forged, MIXED_BANDS)
    mixed, changed = forge_mixtures(mixture_key, bands, mixtures.TRAINING_FAMILIES)
    # Elsewhere the image itself, which the sum of its bands is but for rounding.
    forged = jnp.where(changed[..., None] > 0, mixed, forged)
  if settings.unforged > 0:
    left = jax.random.uniform(share_key, (len(images), 1, 1, 1)) < settings.unforged
    forged = jnp.where(left, images, forged)
  return forged


def forged_step(
  state: State, number: int | jax.Array, images: jax.Array, *, model: OCRGAN
) -> jax.Array:
  """Forges anomalies into uint8 images for validation, always the same for a model and a batch.

  Args:
    state: the state, whose key is drawn from.
    number: of the copy; another one gives other forgeries.
    images: uint8 [batch, size, size, 3 or 4].
    model: the static description.

  Returns:
    uint8 array shaped as `images`; they are forged where pixels count.
  """
  real, key = to_float(images), state.random_key(jnp.uint32(VALIDATION_DRAW) - number)
  if model.forgery.validation == 'unseen':
    bands = frequency_decoupling(real, MIXED_BANDS)
    trained = mixtures.TRAINING_FAMILIES if model.forgery.mixtures else ()
    unseen = tuple(name for name in mixtures.FAMILIES if name not in trained)
    forged, _ = forge_mixtures(key, bands, unseen)
  else:
    forged = forge_batch(model, key, real)
  counts = counts_of(images)
  if counts is not None:
    forged = jnp.where(counts[..., None], forged, real)
  forged = jnp.round((forged + 1) * 127.5).astype(jnp.uint8)
  return jnp.concatenate([forged, images[..., 3:]], axis=-1) if counts is not None else forged
