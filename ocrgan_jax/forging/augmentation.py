"""Small changes of the training images that no inspection calls a defect (beyond the paper)."""

import dataclasses

import jax
import jax.numpy as jnp

from ocrgan_jax.core.checks import at_least, between, check

# Shifts are given at this side and keep their share of the image at others.
REFERENCE_SIZE = 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
  """The config's section `augmentation`.

  Attributes:
    shift: the largest shift along each axis, in pixels at 256.
    brightness: the largest share by which an image is made brighter or darker.

  Raises:
    InputError: if a field is out of bounds.
  """

  shift: float = at_least(0)
  brightness: float = between(0, 1)

  def __post_init__(self) -> None:
    check(self, 'augmentation')

  @property
  def is_off(self) -> bool:
    """Whether nothing is changed."""
    return not (self.shift or self.brightness)


def augment(key: jax.Array, images: jax.Array, settings: Augmentation) -> jax.Array:
  """Shifts images, with their border repeated, and changes their brightness.

  Args:
    key: PRNG key; the same key and images give the same result.
    images: float [batch, size, size, 3] in [-1, 1].
    settings: what is done; what is 0 is not computed.

  Returns:
    Array shaped as `images`, in [-1, 1].
  """
  batch, size = images.shape[:2]
  shift_key, brightness_key = jax.random.split(key)
  largest = round(settings.shift * size / REFERENCE_SIZE)
  if largest:
    shifts = jax.random.randint(shift_key, (batch, 2), -largest, largest + 1)
    at = jnp.clip(jnp.arange(size) + shifts[..., None], 0, size - 1)  # [batch, 2, size]
    images = jax.vmap(lambda image, at: image[at[0]][:, at[1]])(images, at)
  if settings.brightness:
    gain = jax.random.uniform(
      brightness_key, (batch, 1, 1, 1), minval=-settings.brightness, maxval=settings.brightness
    )
    images = jnp.clip((images + 1) * (1 + gain), 0, 2) - 1
  return images
