"""Pictures of a few fixed images during training, with reconstructions and anomaly maps."""

from collections.abc import Mapping

import numpy as np

from ocrgan_jax.drawing.figures import colorize_map, to_uint8
from ocrgan_jax.drawing.overlay import tinted

COUNT = 4  # held-out images, and as many forged copies of them


def snapshot(views: Mapping[str, np.ndarray], limit: float) -> np.ndarray:
  """Draws images, their reconstructions and their anomaly maps, one below the other.

  Args:
    views: of the images, from `score_step.view_step`.
    limit: map value from which a place is anomalous.

  Returns:
    uint8 [rows · size, images · size, 3]. The rows are the images, the reconstructions, the
    anomaly maps (full brightness at the limit), and the images tinted by their maps.
  """
  limit = max(limit, 1e-12)
  shown = to_uint8(views['input'])
  rows = [shown]
  if 'reconstruction' in views:
    rows.append(to_uint8(views['reconstruction']))
  rows.append(np.stack([colorize_map(x, limit) for x in views['map']]))
  rows.append(np.stack([tinted(*pair) for pair in zip(shown, views['map'] / limit, strict=True)]))
  return np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
