"""Datasets, one file each, and the pipeline that feeds their images to the device."""

from pathlib import Path

import ml_collections

from ocrgan_jax.data.builder import AnomalyDataset, Prepared
from ocrgan_jax.data.cifar10 import Cifar10
from ocrgan_jax.data.dagm import Dagm
from ocrgan_jax.data.elpv import Elpv
from ocrgan_jax.data.folder import Folder
from ocrgan_jax.data.kolektor import KolektorSdd
from ocrgan_jax.data.magnetic_tile import MagneticTile
from ocrgan_jax.data.mvtec_ad import MvtecAd
from ocrgan_jax.errors import InputError
from ocrgan_jax.places import user_cache

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
  """Reads, checks and keeps the dataset that the config's `data` section names.

  Args:
    data_dir: the config's `data_dir`.
    settings: its `data` section.

  Returns:
    The dataset, ready to be read; at once if it was prepared before.

  Raises:
    InputError: if there is no such dataset, it is not on disk as it should be, or
      an image in it is damaged.
  """
  if settings.dataset not in DATASETS:
    known = ', '.join(DATASETS)
    raise InputError(f'no dataset {settings.dataset!r}; data.dataset is one of {known}')
  settings = ml_collections.ConfigDict(settings)
  settings.test_dir = absolute(settings.test_dir)
  prepared_dir = Path(absolute(settings.prepared_dir) or user_cache())
  return DATASETS[settings.dataset](absolute(data_dir), settings, prepared_dir).prepare()


def absolute(path: str) -> str:
  """A path of the config as it means the same from any folder; '' stays."""
  return str(Path(path).expanduser().absolute()) if path else ''
