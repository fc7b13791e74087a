"""KolektorSDD: cracks in the surfaces of electrical commutators.

  ocrgan train --config=kolektor --config.data_dir=…/KolektorSDD --workdir=runs/kolektor
  ocrgan evaluate --workdir=runs/kolektor

`data_dir` is the folder that contains `kos01`, `kos02`, …
Protocol (IV-A1): size 256, batch 64. The paper does not state its split. Here, whole items are
drawn for training until they hold 80 % of the normal images; items with identical images stay
together. The other normal images and all defective ones are for testing.
`--config.data.split=image` draws images instead of items.
"""

import ml_collections

from ocrgan_jax.configs import default


def get_config(recipe: str = '') -> ml_collections.ConfigDict:
  """The configuration of a recipe, `paper` by default."""
  config = default.get_config(recipe or 'paper', batch_size=64)
  config.data.dataset = 'kolektor_sdd'
  return config
