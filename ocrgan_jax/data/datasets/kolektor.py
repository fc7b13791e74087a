"""KolektorSDD: surfaces of 50 electrical commutators, eight images each.

  data_dir/kos01/Part0.jpg
  data_dir/kos01/Part0_label.bmp     defective if any pixel is not 0

The paper does not state its split. By default whole items are drawn at random for training
until they hold `data.train_share` of the normal images; the other normal images and all
defective ones are for testing. Items that contain identical files stay in the same split.
With `data.split = 'image'` normal images are drawn one by one instead, which puts near copies
of test images into training.
"""

from collections import defaultdict
from pathlib import Path

import numpy as np

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

LAYOUT = '<data_dir>/kos01/Part0.jpg with Part0_label.bmp'
SPLITS = ('item', 'image')


class KolektorSdd(AnomalyDataset):
  """KolektorSDD: grey images of about 500×1260, with cracks a few pixels wide."""

  HOMEPAGE = 'https://www.vicos.si/resources/kolektorsdd/'
  LICENSE = 'CC BY-NC-SA 4.0'
  CITATION = (
    'D. Tabernik, S. Šela, J. Skvarč, D. Skočaj: Segmentation-Based Deep-Learning Approach for '
    'Surface-Defect Detection. Journal of Intelligent Manufacturing, 2019.'
  )

  def list_examples(self) -> Examples:
    """Splits the normal images as the config says; all defective ones are for testing."""
    root, settings = require_folder(self.source, LAYOUT), self.settings
    if settings.split not in SPLITS:
      raise InputError(f'data.split is {settings.split!r}; it must be one of {", ".join(SPLITS)}')
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
    train, test = split_items(normal, settings.train_share, settings.split_seed)
    return Examples(train, test + anomalous)


def split_items(
  examples: list[Example], share: float, seed: int
) -> tuple[list[Example], list[Example]]:
  """Draws whole items until they hold a share of the examples.

  Items that have an image in common are drawn together.

  Args:
    examples: the item of each is its `path.parent`.
    share: share of the examples to draw.
    seed: seed of the draw.

  Returns:
    The examples of the drawn items, and the others.
  """
  group_of: dict[Path, Path] = {}  # union-find: item → another item of its group, or itself

  def find(item: Path) -> Path:
    while group_of.setdefault(item, item) != item:
      item = group_of[item]
    return item

  first_with: dict[bytes, Path] = {}
  for example in examples:
    item = find(example.path.parent)
    group_of[find(first_with.setdefault(example.read(), item))] = item
  groups = defaultdict(list)
  for example in examples:
    groups[find(example.path.parent)].append(example)

  names = sorted(groups)
  train: list[Example] = []
  for index in np.random.default_rng(seed).permutation(len(names)):
    if len(train) < round(share * len(examples)):
      train += groups[names[index]]
  chosen = set(train)
  return sorted(train), [example for example in examples if example not in chosen]


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
