"""Decodes image files. Nothing else in the package opens one."""

import datetime
import io
import warnings

import numpy as np
from PIL import ExifTags, Image, ImageOps

from ocrgan_jax.core.messages import print_once

# data.max_megapixels is the only size limit, checked before anything is decoded.
Image.MAX_IMAGE_PIXELS = None
# Unreadable images raise errors; Pillow's warnings are about readable ones.
warnings.filterwarnings('ignore', category=UserWarning, module=r'PIL\.')

# A 16-bit photograph whose largest value has so many bits at most is probably not scaled to 16.
DIM_BITS = 14


def _open(content: bytes) -> Image.Image:
  return Image.open(io.BytesIO(content))


def open_image(content: bytes, max_megapixels: float | None = None) -> Image.Image:
  """Decodes an image in its original mode and size, rotated upright.

  Args:
    content: the encoded image.
    max_megapixels: larger images are rejected before they are decoded; 10^6 pixels.

  Raises:
    ValueError: with the reason, if it cannot be decoded or is too large.
  """
  if not content:
    raise ValueError('the file is empty')
  try:
    with _open(content) as image:
      width, height = image.size
      if max_megapixels is not None and width * height > max_megapixels * 1e6:
        raise ValueError(
          f'{width}x{height} pixels are over data.max_megapixels = {max_megapixels:g}'
        )
      image.load()
      return ImageOps.exif_transpose(image)
  except Image.UnidentifiedImageError:
    raise ValueError('not an image') from None
  except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for damaged files
    raise ValueError(str(error)) from None


def upright_size(content: bytes) -> tuple[int, int]:
  """Width and height of a checked image file after rotation, without decoding it."""
  with _open(content) as image:
    width, height = image.size
    turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
    return (height, width) if turned else (width, height)


def date_taken(content: bytes) -> float:
  """When a photograph was taken by its EXIF data, in seconds since 1970.

  Raises:
    OSError, ValueError or KeyError: if it has no readable date.
  """
  with _open(content) as image:
    fields = image.getexif().get_ifd(ExifTags.IFD.Exif)
  date = str(fields[ExifTags.Base.DateTimeOriginal])
  fraction = str(fields.get(ExifTags.Base.SubsecTimeOriginal, '')).strip()
  taken = datetime.datetime.strptime(date, '%Y:%m:%d %H:%M:%S').replace(tzinfo=datetime.UTC)
  return taken.timestamp() + float(f'0.{fraction or 0}')


def decode_mask(content: bytes, size: int) -> np.ndarray:
  """Decodes a checked mask file to bool [size, size], True where defective; see `mask_pixels`."""
  mask = Image.fromarray(mask_pixels(content)[0])
  return np.asarray(mask.resize((size, size), Image.Resampling.NEAREST))


def mask_pixels(content: bytes, max_megapixels: float | None = None) -> tuple[np.ndarray, bool]:
  """Decodes a mask at its own size; raises as `open_image`.

  Returns:
    bool [height, width], True where the mask is not 0, i.e. defective; and whether its shape is in
    the alpha channel alone, which counts then. Lossy formats blur the border of a mask, so there
    only values over half of the largest count.
  """
  image = open_image(content, max_megapixels)
  values = np.asarray(image.convert('L'))
  in_alpha = bool(image.has_transparency_data and values.min() == values.max())
  if in_alpha:
    alpha = np.asarray(image.convert('RGBA').getchannel('A'))
    in_alpha = alpha.min() < alpha.max()
    values = alpha if in_alpha else values
  is_lossy = content.startswith(b'\xff\xd8\xff') or content[8:12] == b'WEBP'
  return values > (values.max() // 2 if is_lossy else 0), in_alpha


def to_rgb(image: Image.Image) -> Image.Image:
  """Converts an image of any Pillow mode to 8-bit RGB. 16-bit grey is 0…65535.

  Raises:
    ValueError: for float pixels, which have no defined scale, and integers of more than 16 bits.
  """
  if image.mode == 'F':
    raise ValueError('its pixels are floats of unknown scale; save it with 8 or 16 bits')
  if image.mode.startswith('I'):
    grey = np.asarray(image).astype(np.int64)
    if grey.min() < 0 or grey.max() > 65535:
      raise ValueError('its pixels need more than 16 bits; save it with 8 or 16 bits')
    bits = int(grey.max()).bit_length()
    if 8 < bits <= DIM_BITS:
      print_once(
        f'warning: a photograph with 16-bit pixels uses {bits} of the bits, so it comes out '
        f'{"nearly black" if bits <= 12 else "dark"}, in scores and in pictures; save such '
        f'photographs with their values multiplied by {2 ** (16 - bits)}, or with 8 bits'
      )
    image = Image.fromarray(np.round(grey / 257).astype(np.uint8))
  return image.convert('RGB')


def small_jpeg(image: Image.Image, side: int) -> bytes:
  """A JPEG of an RGB image, shrunk in place until its longer side has at most `side` pixels."""
  image.thumbnail((side, side))
  file = io.BytesIO()
  image.save(file, 'JPEG', quality=88)
  return file.getvalue()


def thumbnail(image: Image.Image, size: int) -> np.ndarray:
  """A small grey picture of an RGB image, stretched to a square: uint8 [size, size]."""
  # From twice the size by a triangle filter, so that nothing aliases.
  grey = resize(image, 2 * size).convert('L')
  return np.asarray(grey.resize((size, size), Image.Resampling.BILINEAR))


def resize(image: Image.Image, size: int) -> Image.Image:
  """Resizes an image to size × size: area averaging along axes that shrink, else linear."""
  width, height = image.size
  image = image.resize((min(width, size), min(height, size)), Image.Resampling.BOX)
  return image.resize((size, size), Image.Resampling.BILINEAR)
