"""MVTec AD: one model per category, trained on `train/good`, tested on all of `test`.

  ocrgan train --config=mvtec:bottle --config.data_dir=…/mvtec_ad --workdir=runs/bottle
  ocrgan evaluate --workdir=runs/bottle

`data_dir` is the folder that contains the categories. A recipe may follow the category:
`mvtec:bottle,bands`.
Protocol (IV-A1): size 256, batch 32; the paper reports 5 seeds.
"""

import ml_collections

from ocrgan_jax.configs import default


def get_config(argument: str = '') -> ml_collections.ConfigDict:
  """The configuration for `category` or `category,recipe`."""
  category, recipe = default.split_argument(argument, 'bottle')
  config = default.get_config(recipe)
  config.data.dataset = 'mvtec_ad'
  config.data.category = category
  return config
