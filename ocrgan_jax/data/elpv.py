"""ELPV: 2,624 electroluminescence images of solar cells (Buerhop-Lutz et al., 2018).

Images CC BY-NC-SA 4.0. The pip package `elpv-dataset` holds them; a copy of the
dataset elsewhere is read if `data_dir` names the folder with `labels.csv`.
"""

import importlib.util
from pathlib import Path

import numpy as np

from ocrgan_jax.data.examples import ANOMALOUS, NORMAL, NORMAL_TYPE, Dataset, Example
from ocrgan_jax.errors import InputError

KINDS = ('mono', 'poly', 'both')


def read(data_dir: str, kind: str, *, train_share: float, split_seed: int) -> Dataset:
  """Lists the cells of a kind.

  Cells with defect probability 0 are normal, with probability 1 anomalous; those
  between are left out.

  Args:
    data_dir: the folder with `labels.csv`; empty for the pip package's.
    kind: 'mono', 'poly' or 'both'.
    train_share: the share of the normal cells that train; the others are tested.
    split_seed: the same seed makes the same split.

  Returns:
    The normal cells of the training share; the other normal and all anomalous ones.

  Raises:
    InputError: if the dataset or the kind does not exist.
  """
  if kind not in KINDS:
    raise InputError(f'no kind {kind!r} of solar cells; there are {", ".join(KINDS)}')
  root = Path(data_dir) if data_dir else _package_folder()
  table = root / 'labels.csv'
  if not table.is_file():
    raise InputError(f'no {table}; expected the folder of ELPV with labels.csv and images/')
  normal: list[Example] = []
  anomalous: list[Example] = []
  for row in table.read_text().splitlines():
    name, probability, cell = row.split()
    if kind not in (cell, 'both'):
      continue
    if float(probability) == 0:
      normal.append(Example(root / name, name, NORMAL, NORMAL_TYPE))
    elif float(probability) == 1:
      anomalous.append(Example(root / name, name, ANOMALOUS, 'defective'))
  order = np.random.default_rng(split_seed).permutation(len(normal))
  chosen = set(order[: round(train_share * len(normal))].tolist())
  train = [example for i, example in enumerate(normal) if i in chosen]
  return Dataset(train, [e for i, e in enumerate(normal) if i not in chosen] + anomalous)


def _package_folder() -> Path:
  package = importlib.util.find_spec('elpv_dataset')
  if package is None or package.origin is None:
    raise InputError(
      "ELPV's pip package is not installed: pip install elpv-dataset, "
      'or give its folder as --config.data_dir=…'
    )
  return Path(package.origin).parent / 'data'
