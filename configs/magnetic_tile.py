r"""Magnetic tile defects (not in the paper): grey images of many sizes, with masks.

  python -m ocrgan_jax.train --config=configs/magnetic_tile.py \
      --workdir=runs/tile --config.data_dir=…/magnetic_tile
  python -m ocrgan_jax.evaluate --workdir=runs/tile

`data_dir` is the folder that holds `MT_Free`, `MT_Crack`, …, where 80 % of the normal
images train; or the same images in MVTec AD's layout, which is split already.
Protocol: as MVTec AD, size 256, batch 32. By default band statistics are fitted and nothing
is trained; `configs/magnetic_tile.py:paper` trains the paper's networks.
"""

import ml_collections

from ocrgan_jax.configs import default


def get_config(preset: str = '') -> ml_collections.ConfigDict:
  """The configuration of a preset, `statistics` by default."""
  config = default.get_config(preset or 'statistics')
  config.data.dataset = 'magnetic_tile'
  return config
