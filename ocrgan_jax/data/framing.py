"""Turns a photograph of any shape into the model's square images, and maps back again.

`stretch` makes one image of the whole photograph, as the paper does. `pad` keeps the aspect
ratio and pads with the colour of the border. `tiles` cuts overlapping squares. Except for
`stretch` without a region of interest, images have a fourth channel: 255 where a pixel is valid.
Pixels outside the region are replaced by the mean colour inside, so the model never sees them.
"""

import dataclasses
import io
import math

import ml_collections
import numpy as np
from PIL import Image

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import user_path
from ocrgan_jax.core.messages import print_once
from ocrgan_jax.data.decoding import open_image, resize, to_rgb

FITS = ('stretch', 'pad', 'tiles')
# A photograph needs so many squares of SQUARE×SQUARE pixels, all of them valid, to be judged.
SQUARE, LEAST_SQUARES = 4, 4
MANY_TILES = 500  # of one photograph; more cost so much that the user is warned
MOST_PADDING = 4.0  # area of a padded square, as a multiple of data.max_megapixels
BORDER = 0.02  # width of a photograph's border as a share of its sides
Box = tuple[int, int, int, int]  # left, upper, right, lower in pixels of the photograph


@dataclasses.dataclass(frozen=True, eq=False)
class Framing:
  """How photographs become images of the model."""

  size: int  # side of the images in pixels
  fit: str = 'stretch'  # one of FITS
  tile: int = 0  # side of a tile in pixels of the photograph; 0 for `size`
  overlap: float = 0.25  # least overlap of neighbouring tiles as a share of their side
  # bool [h, w] over the whole photograph, True where pixels are valid; None for everywhere.
  region: np.ndarray | None = None

  @property
  def channels(self) -> int:
    """The number of channels: 4 if some pixels may be invalid, else 3."""
    return 3 if self.fit == 'stretch' and self.region is None else 4

  def boxes(self, width: int, height: int) -> list[Box]:
    """The parts of a photograph that become images, one each. They may extend beyond its edges."""
    if self.fit == 'stretch':
      return [(0, 0, width, height)]
    if self.fit == 'pad':
      side = max(width, height)
      left, upper = (width - side) // 2, (height - side) // 2
      return [(left, upper, left + side, upper + side)]
    side = self.tile or self.size
    lefts, uppers = (_tile_starts(length, side, self.overlap) for length in (width, height))
    return [(x, y, x + side, y + side) for y in uppers for x in lefts]

  def warn_of_many_tiles(self, width: int, height: int) -> None:
    """Says once on stderr, before the work, if a photograph makes many tiles and what they cost."""
    count = len(self.boxes(width, height))
    if count > MANY_TILES:
      # A tile is kept as an image of four bytes a pixel, and its map as floats.
      gib = count * self.size**2 * 8 / 2**30
      print_once(
        f'a photograph of {width}×{height} pixels makes {count:,} tiles: scoring it takes as long '
        f'as scoring {count:,} small ones, and about {gib:.1f} GiB of memory; a model trained with '
        'a larger --config.data.tile makes fewer'
      )

  def frames(self, photograph: Image.Image) -> np.ndarray:
    """The images of an RGB photograph, uint8 [images, size, size, channels].

    Raises:
      ValueError: with the reason, if too little of it is valid to be judged.
    """
    valid = self._valid_pixels(photograph.size)
    if valid is not None and self.region is not None:
      photograph = _fill_invalid(photograph, valid)
    color = None if self.fit == 'stretch' else border_color(photograph)
    images = []
    for box in self.boxes(*photograph.size):
      image = resize(_crop(photograph, box, color), self.size)
      if valid is not None:
        share = resize(valid.crop(box), self.size)  # 0 beyond the edges
        image.putalpha(share.point(lambda value: 255 if value > 127 else 0))
      images.append(np.asarray(image))
    frames = np.stack(images)
    if valid is not None:
      self._require_enough(frames[..., 3] > 0)
    return frames

  def _valid_pixels(self, photograph_size: tuple[int, int]) -> Image.Image | None:
    """An image in mode L, 255 where pixels are valid; None if images have no fourth channel."""
    if self.channels == 3:
      return None
    if self.region is None:
      return Image.new('L', photograph_size, 255)
    return Image.fromarray(self.region).convert('L').resize(photograph_size)

  def _require_enough(self, valid: np.ndarray) -> None:
    """Raises a ValueError if too little is valid, for a score of nothing would say "normal"."""
    side = self.size // SQUARE
    squares = valid.reshape(len(valid), side, SQUARE, side, SQUARE).all((2, 4)).sum()
    if squares >= LEAST_SQUARES:
      return
    why, advice = 'padding', 'set data.fit to stretch or tiles'
    if self.region is not None:
      why, advice = 'data.region', 'draw a larger region or raise image_size'
    raise ValueError(
      f'{why} leaves {valid.mean():.1%} of the pixels at image_size {self.size}, too little to '
      f'judge ({squares} squares of {SQUARE}×{SQUARE} pixels, at least {LEAST_SQUARES} are '
      f'needed); {advice}'
    )

  def on_photograph(
    self, maps: np.ndarray, photograph_size: tuple[int, int], shape: tuple[int, int]
  ) -> np.ndarray:
    """Combines the maps of a photograph's images; overlapping tiles take the maximum.

    Args:
      maps: float [images, size, size].
      photograph_size: width and height of the photograph in pixels.
      shape: height and width of the result, which covers the whole photograph.

    Returns:
      float32 [height, width].
    """
    width, height = photograph_size
    across, down = shape[1] / width, shape[0] / height
    whole = np.full(shape, -np.inf, np.float32)
    for single, box in zip(maps, self.boxes(width, height), strict=True):
      left, right = (round(x * across) for x in box[::2])
      upper, lower = (round(y * down) for y in box[1::2])
      part = Image.fromarray(np.asarray(single, np.float32)).resize(
        (max(1, right - left), max(1, lower - upper)), Image.Resampling.BILINEAR
      )
      part = part.crop((max(0, -left), max(0, -upper), shape[1] - left, shape[0] - upper))
      target = whole[max(0, upper) : lower, max(0, left) : right]
      np.maximum(target, np.asarray(part)[: target.shape[0], : target.shape[1]], out=target)
    return whole

  def on_small_photograph(
    self, maps: np.ndarray, photograph_size: tuple[int, int], side: int
  ) -> np.ndarray:
    """As `on_photograph`, in the photograph's aspect ratio; its longer side is at most `side`."""
    shrink = min(1.0, side / max(photograph_size))
    width, height = (max(1, round(length * shrink)) for length in photograph_size)
    return self.on_photograph(maps, photograph_size, (height, width))


def decode_frames(
  content: bytes, framing: Framing, max_megapixels: float | None = None
) -> tuple[np.ndarray, tuple[int, int]]:
  """Decodes a photograph into images of the model.

  Args:
    content: the encoded photograph.
    framing: how photographs become images.
    max_megapixels: larger photographs are rejected before they are decoded; 10^6 pixels.

  Returns:
    uint8 [images, size, size, channels], and the photograph's width and height.

  Raises:
    ValueError: with the reason, if it cannot be decoded or too little of it is valid.
  """
  photograph = to_rgb(open_image(content, max_megapixels))
  framing.warn_of_many_tiles(*photograph.size)
  square = max(photograph.size) ** 2 / 1e6 if framing.fit == 'pad' else 0.0
  if max_megapixels is not None and square > MOST_PADDING * max_megapixels:
    raise ValueError(
      f'{photograph.width}x{photograph.height} pixels are too long for data.fit=pad; use tiles'
    )
  return framing.frames(photograph), photograph.size


def framing_of(config: ml_collections.ConfigDict, region: np.ndarray | None) -> Framing:
  """The framing set in a config, with its region of interest if it sets one."""
  data = config.data
  return Framing(config.image_size, data.fit, data.tile, data.overlap, region)


def has_valid(config: ml_collections.ConfigDict) -> bool:
  """Whether images have a fourth channel under this config."""
  return config.data.fit != 'stretch' or bool(config.data.region)


def border_color(photograph: Image.Image) -> tuple[int, ...]:
  """The median colour of a photograph's border."""
  return tuple(np.median(border_pixels(np.asarray(photograph)), axis=0).astype(int).tolist())


def border_pixels(image: np.ndarray) -> np.ndarray:
  """The pixels of an image's border: [height, width, 3] → [pixels, 3]."""
  height, width, _ = image.shape
  down, across = max(1, round(BORDER * height)), max(1, round(BORDER * width))
  parts = image[:down], image[-down:], image[:, :across], image[:, -across:]
  return np.concatenate([part.reshape(-1, 3) for part in parts])


def _tile_starts(length: int, side: int, overlap: float) -> list[int]:
  """Start positions of tiles along one axis: evenly spaced; one centred tile if it covers all."""
  if length <= side:
    return [(length - side) // 2]
  count = math.ceil((length - side) / (side * (1 - overlap))) + 1
  return [round(i * (length - side) / (count - 1)) for i in range(count)]


def _crop(photograph: Image.Image, box: Box, color: tuple[int, ...] | None) -> Image.Image:
  """Crops a photograph; pixels beyond its edges get one colour."""
  left, upper, right, lower = box
  canvas = Image.new('RGB', (right - left, lower - upper), color)
  canvas.paste(photograph, (-left, -upper))
  return canvas


def _fill_invalid(photograph: Image.Image, valid: Image.Image) -> Image.Image:
  """Fills the invalid pixels with the mean colour of the valid ones."""
  pixels, inside = np.array(photograph), np.asarray(valid) > 0
  if inside.any():
    pixels[~inside] = pixels[inside].mean(0).astype(int)
  return Image.fromarray(pixels)


def region_png(region: np.ndarray) -> bytes:
  """Encodes a region of interest as a PNG, white where pixels are valid."""
  file = io.BytesIO()
  Image.fromarray(region.astype(np.uint8) * 255).save(file, 'PNG')
  return file.getvalue()


def read_region(path: str) -> np.ndarray:
  """Reads a region of interest from an image of any size: bool [height, width], False where black.

  Raises:
    InputError: if the image cannot be read or is all black.
  """
  try:
    region = np.asarray(open_image(user_path(path).read_bytes()).convert('L')) > 0
  except (OSError, ValueError) as error:
    raise InputError(f'data.region: cannot read {path}: {error}') from None
  if not region.any():
    raise InputError(f'data.region: {path} is all black; paint the pixels that count white')
  return region
