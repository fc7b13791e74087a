"""Magnetic tile defects (not in the paper): grey images of many sizes, with masks.

  ocrgan train --config=magnetic_tile --config.data_dir=…/magnetic_tile --workdir=runs/tile
  ocrgan evaluate --workdir=runs/tile

`data_dir` is the folder that contains `MT_Free`, `MT_Crack`, … (tiles with 80 % of the
normal images are drawn for training), or the same images in MVTec AD's layout, already split.
Protocol: as for MVTec AD, size 256. The default recipe is `bands`, which trains nothing;
`magnetic_tile:paper` trains the paper's networks.
"""

import ml_collections

from ocrgan_jax.configs import default


def get_config(recipe: str = '') -> ml_collections.ConfigDict:
  """The configuration of a recipe, `bands` by default."""
  config = default.get_config(recipe or 'bands')
  config.data.dataset = 'magnetic_tile'
  return config
