"""ELPV: electroluminescence images of solar cells, from the pip package `elpv-dataset`.

  pip install elpv-dataset
  ocrgan train --config=elpv:mono --workdir=runs/elpv
  ocrgan evaluate --workdir=runs/elpv

The argument is `mono`, `poly` or `both`. ELPV is not in the paper and has no official split.
Here, cells labelled sound (defect probability 0) are normal: 80 % of them are for training, the
rest and all cells labelled defective (probability 1) for testing. Cells with a probability in
between are left out. Set `data_dir` only for a copy of the dataset outside the package (the
folder with `labels.csv`).

The default recipe is `bands`, which trains nothing; `mono,paper` trains the paper's networks.
"""

import ml_collections

from ocrgan_jax.configs import default


def get_config(argument: str = '') -> ml_collections.ConfigDict:
  """The configuration for `kind` or `kind,recipe`."""
  kind, recipe = default.split_argument(argument, 'mono', 'bands')
  config = default.get_config(recipe, batch_size=64)
  config.data.dataset = 'elpv'
  config.data.category = kind
  return config
