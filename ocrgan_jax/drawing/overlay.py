"""Draws the anomaly map, outline and verdict on a photograph, at the photograph's size."""

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import maximum_filter, minimum_filter

# Colour starts at FAINT times the limit and is full at FULL times the limit, in all images.
FAINT, FULL = 0.7, 2.0
OPACITY = 0.65
MAP_RANGE = 4.0  # a grey map is white at this multiple of the limit
LINE = 1 / 250  # width of the outline as a share of the image's smaller side
STRIP = 1 / 12  # height of the verdict strip as a share of the image's width, at most
STRIP_OF_HEIGHT = 1 / 4  # the same as a share of its height
LEAST_STRIP, LEAST_WIDTH = 18, 80  # minimum height and width of the strip; pixels
LEAST_LETTERS = 4.0  # minimum size of the verdict's letters; pixels
LONGEST = 60_000  # longer side of the largest photograph to draw on; a JPEG has at most 65,535
MARGIN = 64  # grey beside a photograph that is narrower than its strip
VERDICT_COLORS = {'anomalous': (176, 32, 32), 'normal': (34, 110, 70)}


def draw(
  photograph: np.ndarray, anomaly_map: np.ndarray, limit: float, decision: str, score: float
) -> np.ndarray:
  """Draws a prediction on its photograph.

  Colour depends only on the ratio of map to limit, so a colour means the same in all images.
  Only anomalous images get an outline, so picture and verdict cannot contradict each other.

  Args:
    photograph: uint8 [height, width, 3].
    anomaly_map: float [size, size], over the whole photograph.
    limit: map value above which an image is anomalous.
    decision: 'anomalous' or 'normal'.
    score: the scaled score.

  Returns:
    uint8 [height + strip, width, 3]; wider than the photograph if that is too narrow for a verdict.
  """
  height, width, _ = photograph.shape
  share = resize_map(anomaly_map / max(limit, 1e-12), (height, width))
  picture = tinted(photograph, share)
  if decision == 'anomalous':
    outline(picture, share > 1)
  beside = max(0, LEAST_WIDTH - width)
  if beside:
    picture = np.pad(picture, [(0, 0), (0, beside), (0, 0)], constant_values=MARGIN)
  return np.concatenate([picture, strip(width + beside, height, decision, score)])


def drawable(photograph: Image.Image) -> Image.Image:
  """A photograph at a size that a picture can have: its own, unless a side is over LONGEST."""
  if max(photograph.size) <= LONGEST:
    return photograph
  shrink = LONGEST / max(photograph.size)
  width, height = (max(1, round(side * shrink)) for side in photograph.size)
  return photograph.resize((width, height), Image.Resampling.BOX)


def resize_map(anomaly_map: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
  """Resizes a map bilinearly to float32 [height, width]."""
  height, width = shape
  image = Image.fromarray(np.asarray(anomaly_map, np.float32))
  return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def grey_map(anomaly_map: np.ndarray, limit: float) -> np.ndarray:
  """A grey picture of a map, coloured later by the pages: uint8, 255 at MAP_RANGE × limit."""
  share = anomaly_map / max(MAP_RANGE * limit, 1e-12)
  return np.round(np.clip(share, 0, 1) * 255).astype(np.uint8)


def tinted(photograph: np.ndarray, share: np.ndarray) -> np.ndarray:
  """A copy of a photograph, tinted yellow to red where the map is near or over the limit.

  Args:
    photograph: uint8 [height, width, 3].
    share: the map as a multiple of the limit, float [height, width].
  """
  picture = photograph.copy()
  heat = np.clip((share - FAINT) / (FULL - FAINT), 0, 1)
  where = heat > 0
  color = matplotlib.colormaps['autumn_r'](heat[where])[:, :3] * 255
  opacity = (OPACITY * np.minimum(1, 0.35 + heat[where]))[:, None]
  picture[where] = np.round(photograph[where] * (1 - opacity) + color * opacity)
  return picture


def outline(picture: np.ndarray, mask: np.ndarray) -> None:
  """Draws the border of a mask into a picture in place, white next to black for contrast."""
  width = max(1, round(LINE * min(mask.shape)))
  outer = maximum_filter(mask, 2 * width + 1)
  picture[outer & ~mask] = 255
  picture[mask & ~minimum_filter(mask, 2 * max(1, width // 2) + 1)] = 0


def strip(width: int, height: int, decision: str, score: float) -> np.ndarray:
  """The verdict and the score below a photograph of this size, uint8 [strip, width, 3]."""
  high = max(LEAST_STRIP, round(min(STRIP * width, STRIP_OF_HEIGHT * height)))
  image = Image.new('RGB', (width, high), VERDICT_COLORS[decision])
  number = f'{score:.2f}' if abs(score) < 1e6 else f'{score:.2g}'
  text, size = f'{decision}  {number}', 0.62 * high
  font = ImageFont.load_default(size)
  length = font.getlength(text)
  if length > 0.94 * width:
    font = ImageFont.load_default(max(LEAST_LETTERS, size * 0.94 * width / length))
  ImageDraw.Draw(image).text((0.03 * width, high / 2), text, 'white', font, anchor='lm')
  return np.asarray(image)
