"""What every dataset comes down to: lists of labelled image files."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ocrgan_jax.errors import InputError

IMAGE_SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')

NORMAL, ANOMALOUS = 0, 1
NORMAL_TYPE = 'good'


class Example(NamedTuple):
  """One image of a dataset.

  Attributes:
    path: the image file.
    name: the path relative to the dataset's folder, for tables and messages.
    label: NORMAL (0) or ANOMALOUS (1).
    defect_type: 'good' for normal images.
  """

  path: Path
  name: str
  label: int
  defect_type: str


class Dataset(NamedTuple):
  """The two sides of a dataset.

  Attributes:
    train: normal examples only.
    test: normal and anomalous examples.
  """

  train: list[Example]
  test: list[Example]


def image_files(folder: Path) -> list[Path]:
  """The image files directly in a folder, by name; empty if there is no such folder."""
  if not folder.is_dir():
    return []
  return sorted(
    path
    for path in folder.iterdir()
    if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith('.')
  )


def hold_out(
  examples: list[Example], share: float, seed: int
) -> tuple[list[Example], list[Example]]:
  """Holds out a random share of normal training examples, for calibration and validation.

  Args:
    examples: the normal training examples.
    share: of them to hold out, over 0 and under 1; at least one is held out and
      at least one left.
    seed: the same seed holds out the same ones.

  Returns:
    The examples left to train on, and those held out, both in their first order.

  Raises:
    InputError: if there are fewer than two examples.
  """
  if len(examples) < 2:
    raise InputError(
      f'only {len(examples)} normal training image(s) found: at least 2 are needed, '
      'one to train on and one held out to set the scale of the scores'
    )
  count = min(max(1, round(share * len(examples))), len(examples) - 1)
  held = set(np.random.default_rng(seed).permutation(len(examples))[:count].tolist())
  return (
    [e for i, e in enumerate(examples) if i not in held],
    [e for i, e in enumerate(examples) if i in held],
  )
