"""Datasets, one file each.

To add one, write a file, add a line to DATASETS, and write a config in `configs/`. Settings of its
own go into a subclass of `DataSettings`, its `SETTINGS`, with their defaults in
`configs/default.py`.
"""

import dataclasses
from pathlib import Path

import ml_collections

from ocrgan_jax.core.cache import user_cache
from ocrgan_jax.core.checks import one_of_bound, read, require
from ocrgan_jax.core.files import absolute
from ocrgan_jax.data.builder import AnomalyDataset, Prepared
from ocrgan_jax.data.datasets.cifar10 import Cifar10
from ocrgan_jax.data.datasets.dagm import Dagm
from ocrgan_jax.data.datasets.elpv import Elpv
from ocrgan_jax.data.datasets.folder import Folder, TestImages
from ocrgan_jax.data.datasets.kolektor import KolektorSdd
from ocrgan_jax.data.datasets.magnetic_tile import MagneticTile
from ocrgan_jax.data.datasets.mvtec_ad import MvtecAd
from ocrgan_jax.data.group_rules import NONE, with_absolute_table
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
  """Reads, checks and stores the dataset named in the config, unless that is already done.

  Args:
    data_dir: the config's `data_dir`.
    settings: the config's `data` section.

  Raises:
    InputError: if the dataset is unknown, missing or not in its layout, or has a
      damaged image.
  """
  require('data.dataset', settings.dataset, one_of_bound(*DATASETS))
  dataset = DATASETS[settings.dataset]
  checked = _with_absolute_paths(read(dataset.SETTINGS, settings))
  return dataset(absolute(data_dir), checked, _prepared_dir(settings)).prepare()


def prepare_test_set(settings: ml_collections.ConfigDict) -> Prepared:
  """Prepares `data.test_dir` alone, for a run of `folder` whose training images are not here.

  The training split is empty, and images are not grouped. Raises as `prepare_dataset`.
  """
  checked = dataclasses.replace(_with_absolute_paths(read(DataSettings, settings)), groups=NONE)
  return TestImages('', checked, _prepared_dir(settings)).prepare()


def _with_absolute_paths(settings: DataSettings) -> DataSettings:
  return dataclasses.replace(
    settings,
    test_dir=absolute(settings.test_dir),
    groups=with_absolute_table(settings.groups),
  )


def _prepared_dir(settings: ml_collections.ConfigDict) -> Path:
  return Path(absolute(settings.prepared_dir) or user_cache())
