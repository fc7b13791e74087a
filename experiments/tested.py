"""The images of datasets, and models with the images of their test sets."""

from pathlib import Path

import ml_collections
import numpy as np

import ocrgan_jax
from ocrgan_jax.data.builder import Prepared, Split
from ocrgan_jax.data.datasets import prepare_dataset
from ocrgan_jax.data.framing import framing_of
from ocrgan_jax.data.images import Images, load_images
from ocrgan_jax.inference.scorer import Scorer


def images_of(config: ml_collections.ConfigDict, split: Split) -> Images:
  """The images of a split as a config frames them, uint8 [images, size, size, 3] by index."""
  return load_images(split, framing_of(config, None), memory_gib=config.data.memory_gib)


def load_tested(folder: str | Path) -> tuple[Scorer, Prepared, Images]:
  """Loads the model of a run, its dataset, and the images of its test set."""
  scorer = ocrgan_jax.load(folder)
  dataset = prepare_dataset(scorer.config.data_dir, scorer.config.data)
  memory_gib = scorer.config.data.memory_gib
  return scorer, dataset, load_images(dataset.test, scorer.framing, memory_gib=memory_gib)


def outputs(scorer: Scorer, images: Images, *names: str) -> list[np.ndarray]:
  """The named outputs of a model for all images, each [images, …]; see `Scorer.batches`."""
  parts = [values for _, values in scorer.batches(images, names)]
  return [np.concatenate([part[name] for part in parts]) for name in names]
