"""DAGM 2007: one model per class, trained on the defect-free images of `Train`.

  ocrgan train --config=dagm:Class1 --config.data_dir=…/dagm --workdir=runs/dagm1
  ocrgan evaluate --workdir=runs/dagm1

`data_dir` is the folder that contains `Class1`, `Class2`, …
Protocol (IV-A1): size 256, batch 64, tested on all of `Test`.
"""

import ml_collections

from ocrgan_jax.configs import default


def get_config(argument: str = '') -> ml_collections.ConfigDict:
  """The configuration for `class` or `class,recipe`."""
  category, recipe = default.split_argument(argument, 'Class1')
  config = default.get_config(recipe, batch_size=64)
  config.data.dataset = 'dagm'
  config.data.category = category
  return config
