"""Anomaly maps for web pages: small grey pictures that the page colours."""

import numpy as np

from ocrgan_jax.drawing import overlay
from ocrgan_jax.inference.scorer import Scorer


def small_map(scorer: Scorer, maps: np.ndarray, size: tuple[int, int], side: int) -> np.ndarray:
  """The anomaly map of a whole photograph, uint8 [height, width]; see `overlay.grey_map`.

  Args:
    scorer: of the maps.
    maps: of the photograph's images, float [images, size, size].
    size: width and height of the photograph.
    side: largest length of the result's longer side, in pixels.
  """
  whole = scorer.framing.on_small_photograph(maps, size, side)
  return overlay.grey_map(whole, scorer.map_limit())


def drawing_settings(scorer: Scorer) -> dict[str, float]:
  """The numbers with which a page classifies and colours maps at any threshold t.

  These are `threshold`, the model's own; `map_white`, the map value of grey level 255;
  `map_minimum` and `map_width`, where map_minimum + t map_width is the limit of the map; `faint`
  and `full`, the shares of the limit at which colour starts and is full.
  """
  calibration = scorer.calibration
  fixed = not scorer.model.score.is_on_map
  return {
    'threshold': calibration.limit,
    'map_white': overlay.MAP_RANGE * scorer.map_limit(),
    'map_minimum': calibration.map_maximum if fixed else calibration.minimum,
    'map_width': 0.0 if fixed else calibration.width,
    'faint': overlay.FAINT,
    'full': overlay.FULL,
  }
