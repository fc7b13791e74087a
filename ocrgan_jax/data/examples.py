"""What every dataset comes down to: lists of labelled images."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ocrgan_jax.errors import InputError

IMAGE_SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')

NORMAL, ANOMALOUS = 0, 1
UNLABELLED = -1  # a test image of which nobody said what it is
NORMAL_TYPE = 'good'


class Example(NamedTuple):
  """One image of a dataset.

  Attributes:
    name: the path relative to the dataset's folder, for tables and messages.
    label: NORMAL (0), ANOMALOUS (1) or UNLABELLED (-1).
    defect_type: 'good' for normal images.
    path: the image file, or the archive that the image was read from.
    mask: the file of its mask (non-zero where defective), if there is one.
    content: the encoded image, if it is not a file of its own.
  """

  name: str
  label: int
  defect_type: str
  path: Path
  mask: Path | None = None
  content: bytes | None = None

  def read(self) -> bytes:
    """The encoded image."""
    return self.path.read_bytes() if self.content is None else self.content


class Examples(NamedTuple):
  """The two sides of a dataset.

  Attributes:
    train: normal examples only.
    test: any examples; empty if there is no test set.
    warnings: what a user should know of how they were found, a line each.
  """

  train: list[Example]
  test: list[Example]
  warnings: tuple[str, ...] = ()


def image_files(folder: Path) -> list[Path]:
  """The image files directly in a folder, by name; empty if there is no such folder."""
  if not folder.is_dir():
    return []
  return sorted(
    path
    for path in folder.iterdir()
    if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith('.')
  )


def require_folder(data_dir: str, layout: str) -> Path:
  """The data folder.

  Args:
    data_dir: the config's field.
    layout: what is expected there, for the message.

  Returns:
    Its path.

  Raises:
    InputError: if none was given, or there is no such folder.
  """
  if not data_dir:
    raise InputError(f'no data folder given: pass --config.data_dir=…; expected {layout}')
  if not Path(data_dir).exists():
    raise InputError(f'no such data folder: {data_dir}; expected {layout}')
  return Path(data_dir)


def pick(examples: list[Example], share: float, seed: int) -> tuple[list[Example], list[Example]]:
  """A random share of examples, and the others, both in their first order."""
  order = np.random.default_rng(seed).permutation(len(examples))
  chosen = set(order[: round(share * len(examples))].tolist())
  return (
    [e for i, e in enumerate(examples) if i in chosen],
    [e for i, e in enumerate(examples) if i not in chosen],
  )
