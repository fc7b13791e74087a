"""Changes an image as another day changes a photograph of the same part.

A little more or less light, a small move, another compression: training images are measured again
with such changes, so that they are normal. Otherwise the smallest change is a defect where training
never varies, as on an overexposed background.
"""

import dataclasses
import io
from typing import Any

import numpy as np
from PIL import Image

from ocrgan_jax.core.checks import at_least, between, check


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tolerance:
  """The config's section `data.tolerate`: changes that are normal; 0 switches one off.

  Attributes:
    light: largest relative change of brightness.
    pixels: largest move along each axis, in pixels of the model's image.
    jpeg: lowest JPEG quality, up to 95.
  """

  light: float = between(0, 0.5)
  pixels: int = at_least(0)
  jpeg: int = between(0, 95)

  def __post_init__(self) -> None:
    check(self, 'data.tolerate')

  @property
  def is_off(self) -> bool:
    """Whether no change is to be tolerated."""
    return not (self.light or self.pixels or self.jpeg)


def disturb(image: np.ndarray, tolerance: Tolerance, rng: np.random.Generator) -> np.ndarray:
  """Draws a change of each kind, and makes them.

  Args:
    image: uint8 [size, size, 3 or 4]; a fourth channel stays as it is.
    tolerance: how large changes may be.
    rng: draws them.

  Returns:
    uint8 array shaped like `image`.
  """
  size, margin = image.shape[0], tolerance.pixels
  gain = rng.uniform(1 - tolerance.light, 1 + tolerance.light)
  colours = np.clip(image[..., :3] * np.float32(gain) + 0.5, 0, 255).astype(np.uint8)
  down, right = rng.integers(0, 2 * margin + 1, 2)
  padded = np.pad(colours, ((margin, margin), (margin, margin), (0, 0)), 'edge')
  colours = padded[down : down + size, right : right + size]
  if tolerance.jpeg:
    file = io.BytesIO()
    quality = int(rng.integers(tolerance.jpeg, 96))
    Image.fromarray(colours).save(file, 'JPEG', quality=quality)
    colours = np.asarray(Image.open(file))
  return np.concatenate([colours, image[..., 3:]], axis=-1)


@dataclasses.dataclass(frozen=True)
class DisturbedImages:
  """Disturbed copies of images; see `data.images.Images`.

  Attributes:
    images: uint8 [images, size, size, channels], by index.
    tolerance: how large changes may be.
  """

  images: Any
  tolerance: Tolerance

  def __len__(self) -> int:
    """The number of images."""
    return len(self.images)

  def __getitem__(self, indices: np.ndarray) -> np.ndarray:
    """uint8 [indices, size, size, channels]; the same index has the same changes."""
    pairs = zip(self.images[indices], indices, strict=True)
    return np.stack([disturb(x, self.tolerance, np.random.default_rng(int(i))) for x, i in pairs])
