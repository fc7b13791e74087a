"""ELPV: 2,624 electroluminescence images of solar cells, from the pip package `elpv-dataset`.

  data_dir/labels.csv            path, defect probability, mono or poly
  data_dir/images/cell0001.png

Set `data_dir` only for a copy outside the package. There is no official split: a share of
the normal cells is for training, the rest for testing.

https://github.com/zae-bayern/elpv-dataset, licence CC BY-NC-SA 4.0.
"""

import dataclasses
import importlib.util
from pathlib import Path

from ocrgan_jax.core.checks import between, one_of_bound, require
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.builder import AnomalyDataset
from ocrgan_jax.data.examples import ANOMALOUS, NORMAL, NORMAL_TYPE, Example, Examples
from ocrgan_jax.data.settings import DataSettings

KINDS = ('mono', 'poly', 'both')
LAYOUT = 'labels.csv and images/ of the ELPV dataset'


@dataclasses.dataclass(frozen=True, kw_only=True)
class ElpvSettings(DataSettings):
  """The two limits on the defect probability of a cell."""

  normal_up_to: float = between(0, 1)
  anomalous_from: float = between(0, 1)


class Elpv(AnomalyDataset):
  """ELPV: grey 300×300 images of solar cells, each with a defect probability."""

  SETTINGS = ElpvSettings
  settings: ElpvSettings

  def list_examples(self) -> Examples:
    """Labels the cells by the two limits; leaves out those in between."""
    kind = self.settings.category
    require('data.category', kind, one_of_bound(*KINDS))
    root = Path(self.source) if self.source else _package_folder()
    table = root / 'labels.csv'
    if not table.is_file():
      raise InputError(f'no {table}; expected {LAYOUT}')
    normal: list[Example] = []
    anomalous: list[Example] = []
    unsure = 0
    for row in filter(str.strip, table.read_text(errors='replace').splitlines()):
      name, probability, cell = _parse(row, table)
      if kind not in (cell, 'both'):
        continue
      if probability <= self.settings.normal_up_to:
        normal.append(Example(name, NORMAL, NORMAL_TYPE, root / name))
      elif probability >= self.settings.anomalous_from:
        anomalous.append(Example(name, ANOMALOUS, 'defective', root / name))
      else:
        unsure += 1
    warning = f'{unsure} cells left out: their defect probability is between the two limits'
    return Examples(normal, anomalous, (warning,) if unsure else (), self.settings.train_share)


def _parse(row: str, table: Path) -> tuple[str, float, str]:
  try:
    name, probability, cell = row.split()
    return name, float(probability), cell
  except ValueError:
    raise InputError(
      f'{table} has a line {row!r}; expected an image, a probability, and mono or poly'
    ) from None


def _package_folder() -> Path:
  package = importlib.util.find_spec('elpv_dataset')
  if package is None or package.origin is None:
    raise InputError(
      "ELPV's pip package is not installed: pip install elpv-dataset, "
      'or pass the folder of a copy with --config.data_dir=…'
    )
  return Path(package.origin).parent / 'data'
