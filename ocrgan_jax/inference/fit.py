"""Trains a model on a folder of photographs, in one call."""

from pathlib import Path

from ocrgan_jax.configs import folder as folder_config
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.inference.loading import load
from ocrgan_jax.inference.scorer import Scorer
from ocrgan_jax.training.train import train


def fit(folder: str | Path, workdir: str | Path, *, recipe: str = 'bands') -> Scorer:
  """Trains a model on photographs of sound products, as `ocrgan train --config=folder` does.

  Args:
    folder: the photographs, or a tree in MVTec AD's layout (`train/good`, `test/<defect>`).
    workdir: the run's folder. An interrupted run there is resumed.
    recipe: 'bands', which trains nothing and takes about a minute on two cores, or another one of
      `configs/default.py`.

  Returns:
    The model. `score_files(paths)` returns a score and a decision for each photograph;
    `score(images)` maps uint8 [n, size, size, 3] to float32 [n].

  Raises:
    InputError: if the recipe is unknown, or the photographs or the folder cannot be used.
  """
  try:
    config = folder_config.get_config(recipe)
  except ValueError as error:
    raise InputError(str(error)) from None
  config.data_dir = str(folder)
  train(config, workdir)
  return load(workdir)
