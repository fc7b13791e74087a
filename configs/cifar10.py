"""CIFAR-10, protocols S1 (one class is normal) and S2 (one class is anomalous).

  ocrgan train --config=cifar10:s1-plane --config.data_dir=… --workdir=runs/s1-plane
  ocrgan evaluate --workdir=runs/s1-plane

The argument is `s1-<class>` or `s2-<class>`: plane, car, bird, cat, deer, dog, frog,
horse, ship, truck. `data_dir` holds the official python or binary archive, packed or
unpacked, or a tree of images (see ocrgan_jax/data/datasets/cifar10.py).
Protocol (IV-A1): size 32, batch 64. S1 trains on 5,000 and tests on 1,000 normal and
9,000 anomalous images; S2 trains on 45,000 and tests on 9,000 and 6,000.
"""

import ml_collections

from ocrgan_jax.configs import default


def get_config(argument: str = '') -> ml_collections.ConfigDict:
  """The configuration for `protocol-class` or `protocol-class,recipe`."""
  category, recipe = default.split_argument(argument, 's1-plane')
  config = default.get_config(recipe, batch_size=64)
  config.data.dataset = 'cifar10'
  config.data.category = category
  config.data.groups = 'none'  # animals and vehicles, not parts
  config.image_size = 32
  return config
