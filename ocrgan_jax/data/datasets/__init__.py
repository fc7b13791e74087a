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
from ocrgan_jax.data.datasets.folder import Folder, TestImages
from ocrgan_jax.data.datasets.kolektor import KolektorSdd
from ocrgan_jax.data.datasets.magnetic_tile import MagneticTile
from ocrgan_jax.data.datasets.mvtec_ad import MvtecAd
from ocrgan_jax.data.groups import NONE, with_absolute_table
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
  checked, prepared_dir = _read(settings)
  return DATASETS[checked.dataset](absolute(data_dir), checked, prepared_dir).prepare()


def prepare_test_set(settings: ml_collections.ConfigDict) -> Prepared:
  """Prepares `data.test_dir` alone, for a run of `folder` whose training images are not here.

  Args:
    settings: the config's `data` section.

  Returns:
    The dataset, its training split empty, its images not grouped.

  Raises:
    InputError: as `prepare_dataset`.
  """
  checked, prepared_dir = _read(settings)
  return TestImages('', dataclasses.replace(checked, groups=NONE), prepared_dir).prepare()


def _read(settings: ml_collections.ConfigDict) -> tuple[DataSettings, Path]:
  """The checked settings, with absolute paths, and the folder for prepared datasets."""
  checked = read(DataSettings, settings)
  checked = dataclasses.replace(
    checked,
    test_dir=absolute(checked.test_dir),
    groups=with_absolute_table(checked.groups),
  )
  return checked, Path(absolute(checked.prepared_dir) or user_cache())
