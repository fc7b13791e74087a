"""KolektorSDD: surfaces of 50 electrical commutators, eight images each (Tabernik et al., 2019).

  data_dir/kos01/Part0.jpg
  data_dir/kos01/Part0_label.bmp     defective if any pixel is not 0

The paper does not state its split. By default whole items are drawn at random for training
until they hold `data.train_share` of the normal images; the other normal images and all
defective ones are for testing. Items that contain identical files stay in the same split.
With `data.split = 'image'` normal images are drawn one by one instead, which puts near copies
of test images into training.

https://www.vicos.si/resources/kolektorsdd/, licence CC BY-NC-SA 4.0.
"""

import dataclasses
from pathlib import Path

import numpy as np

from ocrgan_jax.core.checks import one_of
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import read_file
from ocrgan_jax.data.builder import AnomalyDataset
from ocrgan_jax.data.decoding import open_image
from ocrgan_jax.data.examples import (
  ANOMALOUS,
  NORMAL,
  NORMAL_TYPE,
  Example,
  Examples,
  images_directly_in,
  require_folder,
)
from ocrgan_jax.data.group_rules import numbered
from ocrgan_jax.data.grouping import take_groups
from ocrgan_jax.data.settings import DataSettings
from ocrgan_jax.twins.pairs import connect

LAYOUT = '<data_dir>/kos01/Part0.jpg with Part0_label.bmp'


@dataclasses.dataclass(frozen=True, kw_only=True)
class KolektorSettings(DataSettings):
  """What the split draws."""

  split: str = one_of('item', 'image')


class KolektorSdd(AnomalyDataset):
  """KolektorSDD: grey images of about 500×1260, with cracks a few pixels wide."""

  SETTINGS = KolektorSettings
  settings: KolektorSettings

  def list_examples(self) -> Examples:
    """Splits the normal images as the config says; all defective ones are for testing."""
    root, settings = require_folder(self.source, LAYOUT), self.settings
    examples = [
      _label(path, root)
      for item in sorted(root.glob('kos*'))
      for path in images_directly_in(item)
      if path.suffix.lower() != '.bmp'
    ]
    normal = [e for e in examples if e.label == NORMAL]
    if not normal:
      raise InputError(f'no normal images in {root}; expected {LAYOUT}')
    anomalous = [e for e in examples if e.label == ANOMALOUS]
    if settings.split == 'image':
      return Examples(normal, anomalous, train_share=settings.train_share)
    drawn = take_groups(
      _items(normal), round(settings.train_share * len(normal)), settings.split_seed, at_least=True
    )
    train = [e for e, is_drawn in zip(normal, drawn, strict=True) if is_drawn]
    test = [e for e, is_drawn in zip(normal, drawn, strict=True) if not is_drawn]
    return Examples(train, test + anomalous)


def _items(examples: list[Example]) -> np.ndarray:
  """The item of each image, int [images]; of items with an image in common, the last one's."""
  item = numbered(example.path.parent for example in examples)
  content = numbered(example.read() for example in examples) + len(examples)
  group = connect(2 * len(examples), np.stack([item, content], axis=1))[item]
  last = np.zeros(len(examples), int)
  np.maximum.at(last, group, item)
  return last[group]


def _label(path: Path, root: Path) -> Example:
  mask = path.with_name(f'{path.stem}_label.bmp')
  if not mask.is_file():
    raise InputError(f'{path} has no {mask.name} next to it; expected {LAYOUT}')
  try:
    defective = bool(np.asarray(open_image(read_file(mask))).any())
  except (OSError, ValueError) as error:
    raise InputError(f'cannot read {mask}: {error}; repair it or remove it and its image') from None
  name = path.relative_to(root).as_posix()
  if defective:
    return Example(name, ANOMALOUS, 'defect', path, mask)
  return Example(name, NORMAL, NORMAL_TYPE, path)
