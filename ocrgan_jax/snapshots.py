"""Pictures of what a model makes of a few fixed images, to be watched while it trains."""

import numpy as np

from ocrgan_jax.figures import heated, to_uint8
from ocrgan_jax.overlay import tinted
from ocrgan_jax.prediction import limit_of_map
from ocrgan_jax.scorer import Scorer

COUNT = 4  # held-out images, and as many forged copies of them


def snapshot(scorer: Scorer, images: np.ndarray) -> np.ndarray:
  """What a model makes of images, one below the other.

  Args:
    scorer: of the state as it is.
    images: uint8 [images, size, size, channels].

  Returns:
    uint8 [rows · size, images · size, 3]: the images, their reconstructions, the anomaly maps
    (full brightness at the threshold's limit), and these over the images.
  """
  views = scorer.explain(images)
  limit = max(limit_of_map(scorer, scorer.calibration.limit), 1e-12)
  shown = to_uint8(views['input'])
  rows = [shown]
  if 'reconstruction' in views:
    rows.append(to_uint8(views['reconstruction']))
  rows.append(np.stack([heated(x, limit) for x in views['map']]))
  rows.append(np.stack([tinted(*pair) for pair in zip(shown, views['map'] / limit, strict=True)]))
  return np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
