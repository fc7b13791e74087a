"""Forged anomalies: CutPaste and CutOut on the device (III-D, Fig. 6).

Both run inside the jitted step on float images in [-1, 1]. Each image has its own key, so the
forgeries do not depend on the number of devices. Patches are moved by index arithmetic, which
keeps all shapes static.
"""

import dataclasses
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from ocrgan_jax.core.checks import check
from ocrgan_jax.core.platforms import cpu_barrier

CUTPASTE_AREA = (0.02, 0.15)  # share of the image
CUTPASTE_ASPECT = (0.3, 1 / 0.3)  # width / height, log-uniform
CUTPASTE_JITTER = 0.1  # of brightness, contrast, saturation and hue
CUTOUT_SIDE = 20 / 256  # share of the image's side

GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601 luma, as usual in colour jitter


def cut_paste(key: jax.Array, image: jax.Array) -> jax.Array:
  """Applies CutPaste to one image [size, size, 3] in [-1, 1].

  Copies a rectangle from a uniformly random place, jitters its colours, and pastes it at another.
  Its area is U(0.02, 0.15) of the image; its aspect ratio is log-uniform in (0.3, 1/0.3).
  """
  size = image.shape[0]
  shape_key, place_key, jitter_key = jax.random.split(key, 3)
  draws = jax.random.uniform(shape_key, (2,))
  area = size**2 * (CUTPASTE_AREA[0] + draws[0] * (CUTPASTE_AREA[1] - CUTPASTE_AREA[0]))
  low, high = (math.log(a) for a in CUTPASTE_ASPECT)
  aspect = jnp.exp(low + draws[1] * (high - low))
  sides = jnp.sqrt(jnp.stack([area / aspect, area * aspect]))  # height, width
  sides = jnp.clip(jnp.round(sides), 1, size).astype(jnp.int32)
  # The upper left corners of the source and of the target: [2 places, 2 axes].
  corners = jax.random.randint(place_key, (2, 2), 0, size - sides + 1)
  source, target = corners

  at = jnp.arange(size)
  moved = jnp.roll(image, target - source, (0, 1))
  inside = [(at >= target[axis]) & (at < target[axis] + sides[axis]) for axis in (0, 1)]
  patch = (inside[0][:, None] & inside[1])[..., None]
  return jnp.where(patch, color_jitter(jitter_key, moved, patch), image)


def cut_out(key: jax.Array, image: jax.Array) -> jax.Array:
  """Applies CutOut to one image [size, size, 3] in [-1, 1].

  Fills one square with black (-1). Its side is 20/256 of the image's; its centre is uniform over
  the pixels, and it is clipped at the border.
  """
  size = image.shape[0]
  side = max(1, round(CUTOUT_SIDE * size))
  start = jax.random.randint(key, (2,), 0, size) - side // 2
  at = jnp.arange(size)
  inside = [(at >= start[axis]) & (at < start[axis] + side) for axis in (0, 1)]
  return jnp.where((inside[0][:, None] & inside[1])[..., None], -1.0, image)


# Forgery families in the order in which they are applied: (key, image) → forged image.
FAMILIES: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
  'cutpaste': cut_paste,
  'cutout': cut_out,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Forgery:
  """The config's section `forgery`.

  Attributes:
    cutpaste: whether to apply CutPaste to training images (Table V).
    cutout: whether to apply CutOut.
  """

  cutpaste: bool
  cutout: bool

  def __post_init__(self) -> None:
    check(self, 'forgery')

  @property
  def is_off(self) -> bool:
    """Whether all forging in training is off."""
    return not any(getattr(self, name) for name in FAMILIES)


def forge(key: jax.Array, images: jax.Array, **wanted: bool) -> jax.Array:
  """Forges one anomaly of each wanted family into every image.

  Args:
    key: PRNG key; the same key and images give the same forgeries.
    images: float array [batch, size, size, 3] in [-1, 1].
    **wanted: for each name in FAMILIES, whether to apply it.

  Returns:
    Array shaped like `images`, in [-1, 1].
  """
  keys = jax.random.split(key, (len(images), len(FAMILIES)))
  for i, (name, family) in enumerate(FAMILIES.items()):
    if wanted[name]:
      images = jax.vmap(family)(keys[:, i], images)
  # Without it, XLA on a CPU repeats the forging for every consumer of the images.
  return cpu_barrier(images)


def color_jitter(key: jax.Array, image: jax.Array, patch: jax.Array) -> jax.Array:
  """Jitters brightness, contrast, saturation and hue, in this order, by up to 0.1.

  Brightness, contrast and saturation are scaled by U(0.9, 1.1) around black, the patch's mean
  grey and each pixel's own grey. Hue turns by U(-0.1, 0.1) of the circle.

  Args:
    key: PRNG key.
    image: float array [height, width, 3] in [-1, 1].
    patch: bool array [height, width, 1], the pixels that define the mean grey.

  Returns:
    Array shaped like `image`, in [-1, 1].
  """
  draws = jax.random.uniform(key, (4,), minval=-CUTPASTE_JITTER, maxval=CUTPASTE_JITTER)
  brightness, contrast, saturation, hue = draws
  # Three planes are far faster on a CPU than a last axis of 3.
  rgb = [jnp.clip((image[..., c] + 1) / 2 * (1 + brightness), 0, 1) for c in range(3)]
  mean = jnp.mean(_grey(rgb), where=patch[..., 0])
  rgb = [jnp.clip(mean + (c - mean) * (1 + contrast), 0, 1) for c in rgb]
  grey = _grey(rgb)
  rgb = [jnp.clip(grey + (c - grey) * (1 + saturation), 0, 1) for c in rgb]
  rgb = cpu_barrier(rgb)  # without it, XLA on a CPU recomputes them for each channel
  return jnp.stack(_turn_hue(rgb, hue), axis=-1) * 2 - 1


def _grey(rgb: list[jax.Array]) -> jax.Array:
  return sum(share * c for share, c in zip(GREY, rgb, strict=True))  # type: ignore[return-value]


def _turn_hue(rgb: list[jax.Array], turn: jax.Array) -> list[jax.Array]:
  """Adds `turn`, in full circles, to the hue of RGB planes in [0, 1], through HSV."""
  red, green, blue = rgb
  value = jnp.maximum(jnp.maximum(red, green), blue)
  chroma = value - jnp.minimum(jnp.minimum(red, green), blue)
  divisor = jnp.where(chroma > 0, chroma, 1)
  sixth = jnp.where(
    value == red,
    (green - blue) / divisor,
    jnp.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
  )

  def channel(sector: float) -> jax.Array:
    # V - C·clip(min(k, 4 - k), 0, 1), where k is the distance from the channel's sector in sixths
    # of the circle. The floor replaces a float modulo, because it vectorises.
    k = sector + sixth + 6 * turn
    k = k - 6 * jnp.floor(k / 6)
    return value - chroma * jnp.clip(jnp.minimum(k, 4 - k), 0, 1)

  return [channel(5), channel(3), channel(1)]
