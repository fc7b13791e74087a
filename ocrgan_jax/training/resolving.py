"""Resolves a config: makes its paths absolute, and chooses what it leaves open."""

import sys

import ml_collections
import numpy as np

from ocrgan_jax.core import sharding
from ocrgan_jax.core.files import absolute
from ocrgan_jax.core.platforms import dtype_of_computation
from ocrgan_jax.data.datasets import prepare_dataset
from ocrgan_jax.data.decoding import upright_size
from ocrgan_jax.data.group_rules import with_absolute_table

USUAL, LARGE = 256, 512  # pixels
# Photographs this long lose detail of a few pixels, such as cracks, when they are shrunk to USUAL.
LONG = 1000
READ = 64  # photographs to look at


def resolve(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
  """Returns a config as a run saves it: with nothing relative and nothing left to choose."""
  config = ml_collections.ConfigDict(config.copy_and_resolve_references())
  config.data_dir = absolute(config.data_dir)
  config.data.test_dir = absolute(config.data.test_dir)
  config.data.prepared_dir = absolute(config.data.prepared_dir)
  config.data.groups = with_absolute_table(config.data.groups)
  if config.data.region != 'auto':
    config.data.region = absolute(config.data.region)
  config.image_size = choose_image_size(config)
  config.model.dtype = dtype_of_computation(config.model.dtype)
  return config


def choose_image_size(config: ml_collections.ConfigDict) -> int:
  """Returns `image_size`, or chooses it if it is 0, and says so on stderr.

  It becomes LARGE if the longer side of half of the training photographs is at least LONG, else
  USUAL. Tiles are cut at full resolution, so they are always USUAL.

  Args:
    config: with absolute paths.

  Returns:
    The side of the model's images in pixels.

  Raises:
    InputError: if the data cannot be used.
  """
  if config.image_size or config.data.fit == 'tiles':
    return int(config.image_size or USUAL)
  train = prepare_dataset(config.data_dir, config.data).train
  chosen = np.unique(np.linspace(0, len(train.names) - 1, READ).astype(int))
  sides = [max(upright_size(train.records[int(i)]['image'])) for i in chosen]
  size = LARGE if np.median(sides) >= LONG else USUAL
  if sharding.is_first_process():
    print(
      f'image_size is {size}, because the longer side of the photographs has '
      f'{np.median(sides):.0f} pixels (median); set --config.image_size to choose another',
      file=sys.stderr,
    )
  return size
