"""Datasets, one file each.

To add one, write a file, add a line to DATASETS, and write a config in `configs/`.
"""

import dataclasses
from pathlib import Path

import ml_collections

from ocrgan_jax.core.cache import user_cache
from ocrgan_jax.core.checks import read
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import absolute
from ocrgan_jax.data.builder import AnomalyDataset, Prepared
from ocrgan_jax.data.datasets.cifar10 import Cifar10
from ocrgan_jax.data.datasets.dagm import Dagm
from ocrgan_jax.data.datasets.elpv import Elpv
from ocrgan_jax.data.datasets.folder import Folder
from ocrgan_jax.data.datasets.kolektor import KolektorSdd
from ocrgan_jax.data.datasets.magnetic_tile import MagneticTile
from ocrgan_jax.data.datasets.mvtec_ad import MvtecAd
from ocrgan_jax.data.groups import with_absolute_table
from ocrgan_jax.data.settings import DataSettings

DATASETS: dict[str, type[AnomalyDataset]] = {
  'mvtec_ad': MvtecAd,
  'dagm': Dagm,
  'kolektor_sdd': KolektorSdd,
  'cifar10': Cifar10,
  'elpv': Elpv,
  'magnetic_tile': MagneticTile,
  'folder': Folder,
}


def prepare_dataset(data_dir: str, settings: ml_collections.ConfigDict) -> Prepared:
  """Reads, checks and stores the dataset named in the config's `data` section.

  A dataset that was prepared before is not prepared again.

  Args:
    data_dir: the config's `data_dir`.
    settings: the config's `data` section.

  Returns:
    The dataset, ready to read.

  Raises:
    InputError: if the dataset is unknown, missing or not in its layout, or has a
      damaged image.
  """
  if settings.dataset not in DATASETS:
    known = ', '.join(DATASETS)
    raise InputError(f'unknown dataset {settings.dataset!r}; data.dataset is one of {known}')
  checked = read(DataSettings, settings)
  checked = dataclasses.replace(
    checked,
    test_dir=absolute(checked.test_dir),
    groups=with_absolute_table(checked.groups),
  )
  prepared_dir = Path(absolute(checked.prepared_dir) or user_cache())
  return DATASETS[checked.dataset](absolute(data_dir), checked, prepared_dir).prepare()
