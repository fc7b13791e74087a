"""Small datasets in their official layouts: written, and prepared."""

import importlib
from pathlib import Path

import ml_collections
import numpy as np
import pytest
from PIL import Image

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.builder import Prepared, Split
from ocrgan_jax.data.datasets import prepare_dataset
from tests.conftest import smooth_image

RNG = np.random.default_rng(0)


def config_of(name: str) -> ml_collections.ConfigDict:
  """A config as on the command line, e.g. 'mvtec:tile'."""
  file, _, argument = name.partition(':')
  return importlib.import_module(f'ocrgan_jax.configs.{file}').get_config(argument)


def prepare(name: str, data_dir: Path | str, **fields: object) -> Prepared:
  config = config_of(name)
  config.data.update({'groups': 'none', **fields})  # test_grouping.py has the twins
  return prepare_dataset(str(data_dir), config.data)


def refuses(told: str, name: str, data_dir: Path | str, **fields: object) -> None:
  """Preparing this dataset fails with a message like this."""
  with pytest.raises(InputError, match=told):
    prepare(name, data_dir, **fields)


def kinds(split: Split) -> list[tuple[str, int]]:
  return list(zip(split.defect_types, split.labels.tolist(), strict=True))


def save(path: Path, image: np.ndarray | None = None) -> bytes:
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(smooth_image(RNG, 16) if image is None else image).save(path)
  return path.read_bytes()


def mask(value: int = 255, size: int = 16) -> np.ndarray:
  image = np.zeros((size, size), np.uint8)
  image[2:4] = value
  return image
