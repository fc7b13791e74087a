"""Datasets, one file each, and the pipeline that feeds their images to the device."""

import ml_collections

from ocrgan_jax.data import elpv, mvtec_ad
from ocrgan_jax.data.examples import Dataset
from ocrgan_jax.errors import InputError


def read_dataset(data_dir: str, settings: ml_collections.ConfigDict) -> Dataset:
  """Lists the examples of the dataset that the config's `data` section names.

  Args:
    data_dir: the config's `data_dir`.
    settings: its `data` section.

  Returns:
    The examples of training and test.

  Raises:
    InputError: if there is no such dataset, or it is not on disk as it should be.
  """
  if settings.dataset == 'mvtec_ad':
    return mvtec_ad.read(data_dir, settings.category)
  if settings.dataset == 'elpv':
    return elpv.read(
      data_dir,
      settings.category,
      train_share=settings.train_share,
      split_seed=settings.split_seed,
    )
  raise InputError(f'no dataset {settings.dataset!r}; data.dataset is one of mvtec_ad, elpv')
