"""ELPV: electroluminescence images of solar cells, from the pip package `elpv-dataset`.

  pip install elpv-dataset
  python -m ocrgan_jax.train --config=configs/elpv.py:mono --workdir=runs/elpv
  python -m ocrgan_jax.evaluate --workdir=runs/elpv

The argument is `mono`, `poly` or `both`. ELPV is not in the paper and has no
official split; here cells labelled sound (defect probability 0) are normal, 80 %
of them train, the rest and all cells labelled defective (probability 1) test; the
unsure ones between are left out. `data_dir` is needed only for a copy of the
dataset (the folder with `labels.csv`) elsewhere than in the package. By default band
statistics are fitted and nothing is trained; `mono,restore` takes minutes and is hardly
better here (docs/detection.md), `mono,paper` trains the paper's networks.
"""

import ml_collections

from ocrgan_jax.configs import default


def get_config(argument: str = '') -> ml_collections.ConfigDict:
  """The configuration for `kind` or `kind,preset`."""
  kind, preset = default.split_argument(argument, 'mono', 'statistics')
  config = default.get_config(preset, batch_size=64)
  config.data.dataset = 'elpv'
  config.data.category = kind
  return config
