"""ELPV: 2,624 electroluminescence images of solar cells, from the pip package `elpv-dataset`.

  data_dir/labels.csv            path, defect probability, mono or poly
  data_dir/images/cell0001.png

Set `data_dir` only for a copy outside the package. There is no official split: a share of
the normal cells is for training, the rest for testing.
"""

import importlib.util
from pathlib import Path

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.builder import AnomalyDataset
from ocrgan_jax.data.examples import ANOMALOUS, NORMAL, NORMAL_TYPE, Example, Examples

KINDS = ('mono', 'poly', 'both')
LAYOUT = 'labels.csv and images/ of the ELPV dataset'


class Elpv(AnomalyDataset):
  """ELPV: grey 300×300 images of solar cells, each with a defect probability."""

  HOMEPAGE = 'https://github.com/zae-bayern/elpv-dataset'
  LICENSE = 'CC BY-NC-SA 4.0'
  CITATION = (
    'C. Buerhop-Lutz et al.: A Benchmark for Visual Identification of Defective Solar Cells in '
    'Electroluminescence Imagery. EU PVSEC 2018.'
  )

  def list_examples(self) -> Examples:
    """Labels the cells by two limits on the defect probability; leaves out those in between."""
    kind, settings = self.settings.category, self.settings
    if kind not in KINDS:
      raise InputError(
        f'no kind {kind!r} of solar cells; data.category is one of {", ".join(KINDS)}'
      )
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
      if probability <= settings.normal_up_to:
        normal.append(Example(name, NORMAL, NORMAL_TYPE, root / name))
      elif probability >= settings.anomalous_from:
        anomalous.append(Example(name, ANOMALOUS, 'defective', root / name))
      else:
        unsure += 1
    warning = f'{unsure} cells left out: their defect probability is between the two limits'
    warnings = (warning,) if unsure else ()
    return Examples(normal, anomalous, warnings, settings.train_share)


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
