"""From image files to uint8 arrays of one size."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ocrgan_jax.errors import InputError


def decode_image(path: Path, size: int) -> np.ndarray:
  """Reads an image file as RGB at the model's size.

  The whole image is kept and its aspect given up, as the paper does. Grey images
  get three equal channels, 16-bit ones are scaled to 8 bits, transparency is
  dropped, and the orientation that a camera noted (EXIF) is applied.

  Args:
    path: the file.
    size: side of the result in pixels.

  Returns:
    uint8 [size, size, 3].

  Raises:
    InputError: naming the file, if it cannot be read as an image.
  """
  try:
    with Image.open(path) as image:
      return np.asarray(resize(to_rgb(ImageOps.exif_transpose(image)), size))
  except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
    reason = 'not an image' if isinstance(error, Image.UnidentifiedImageError) else error
    raise InputError(f'cannot read {path}: {reason}; repair it or take it away') from None


def to_rgb(image: Image.Image) -> Image.Image:
  """Converts any Pillow mode to 8-bit RGB; 16-bit and 32-bit grey by its upper byte."""
  if image.mode.startswith('I'):
    grey = np.asarray(image).astype(np.float64) / 257
    image = Image.fromarray(np.clip(np.round(grey), 0, 255).astype(np.uint8))
  return image.convert('RGB')


def resize(image: Image.Image, size: int) -> Image.Image:
  """Resizes an image to size × size: sides that shrink by area-averaging, others linearly."""
  width, height = image.size
  image = image.resize((min(width, size), min(height, size)), Image.Resampling.BOX)
  return image.resize((size, size), Image.Resampling.BILINEAR)
