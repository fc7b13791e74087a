"""DAGM 2007: ten classes of artificial textures with weakly labelled defects.

data_dir/Class1/Train/0001.PNG
data_dir/Class1/Train/Label/Labels.txt      number, defective, image, _, mask
data_dir/Class1/Train/Label/0001_label.PNG
data_dir/Class1/Test/…

M. Wieler, T. Hahn: Weakly Supervised Learning for Industrial Optical Inspection, DAGM Symposium
2007. For research.
"""

from pathlib import Path

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.builder import AnomalyDataset
from ocrgan_jax.data.examples import (
  ANOMALOUS,
  NORMAL,
  NORMAL_TYPE,
  Example,
  Examples,
  images_directly_in,
  require_category,
  require_folder,
)

LAYOUT = '<data_dir>/Class1/Train/*.PNG with Label/Labels.txt, and the same in Test'


class Dagm(AnomalyDataset):
  """DAGM 2007: trains on the defect-free images of `Train`, tests on all of `Test`."""

  def list_examples(self) -> Examples:
    """Both halves of the config's class."""
    root = require_folder(self.source, LAYOUT)
    existing = [path.name for path in root.glob('Class*') if path.is_dir()]
    folder = require_category(root, self.settings.category, existing, LAYOUT)
    train, test = (_list_half(folder, half) for half in ('Train', 'Test'))
    normal = [example for example in train if example.label == NORMAL]
    if not normal:
      raise InputError(f'no defect-free images in {folder / "Train"}; expected {LAYOUT}')
    return Examples(normal, test)


def _list_half(root: Path, half: str) -> list[Example]:
  folder = root / half
  table = folder / 'Label' / 'Labels.txt'
  masks = _read_masks(table)
  examples = []
  for path in images_directly_in(folder):
    if path.name.upper() not in masks:
      raise InputError(f'{path} has no line in {table}; add one or remove the image')
    mask, name = masks[path.name.upper()], f'{half}/{path.name}'
    if mask is None:
      examples.append(Example(name, NORMAL, NORMAL_TYPE, path))
    else:
      examples.append(Example(name, ANOMALOUS, 'defect', path, table.with_name(mask)))
  return examples


def _read_masks(table: Path) -> dict[str, str | None]:
  """The name of the mask of each image, by the image's name in capitals; None if it is normal."""
  if not table.is_file():
    raise InputError(f'no {table}; expected {LAYOUT}')
  masks: dict[str, str | None] = {}
  # The first line is a single number; tab-separated fields follow.
  for row in table.read_text(errors='replace').splitlines()[1:]:
    fields = row.split()
    if not fields:
      continue
    if len(fields) < 3:
      raise InputError(f'{table} has a line {row!r}; expected number, 0 or 1, image, …')
    _, defective, image, *rest = fields
    if defective not in ('0', '1'):
      raise InputError(f'{table} labels {image} {defective!r}; expected 0 or 1')
    mask = rest[-1] if rest and rest[-1] != '0' else f'{Path(image).stem}_label.PNG'
    masks[image.upper()] = mask if defective == '1' else None
  return masks
