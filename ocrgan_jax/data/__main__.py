"""Prepares and checks a dataset without training: `python -m ocrgan_jax.data --config=…`."""

from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from ml_collections import config_flags

from ocrgan_jax.core import command_line
from ocrgan_jax.core.files import check_writable, mark_output
from ocrgan_jax.data.builder import Prepared
from ocrgan_jax.data.datasets import prepare_dataset
from ocrgan_jax.data.decoding import open_image, to_rgb
from ocrgan_jax.data.examples import NORMAL
from ocrgan_jax.data.framing import Framing
from ocrgan_jax.data.group_rules import NONE
from ocrgan_jax.data.images import StreamedImages
from ocrgan_jax.data.inspection import CONVERSIONS
from ocrgan_jax.drawing import figures, pairs
from ocrgan_jax.twins.pairs import THRESHOLD

PER_TYPE = 6  # images per defect type on the contact sheet
PICTURE_SIZE = 128  # pixels
PAIR_SIZE = 400  # pixels of the longer side of a photograph in the picture of pairs


def describe(report: dict[str, Any]) -> str:
  """Formats the report of `inspection.inspect` for the terminal."""
  lines = []
  for split, counts in report['counts'].items():
    kinds = ', '.join(f'{count} {kind}' for kind, count in counts.items()) or 'none'
    lines.append(f'{split:6} {sum(counts.values()):6} images: {kinds}')
  lines.append('sizes  ' + ', '.join(f'{size} ({n})' for size, n in report['sizes'].items()))
  for mode, count in report['modes'].items():
    rule = f': {CONVERSIONS[mode]}' if mode in CONVERSIONS else ''
    lines.append(f'colour {mode} ({count}){rule}')
  lines.append(f'masks  {report["masks"]} images have a mask')
  lines += [f'left out {name}: {reason}' for name, reason in report['skipped']]
  lines += [f'warning: {warning}' for warning in report['warnings']]
  return '\n'.join(lines)


def describe_groups(dataset: Prepared) -> str:
  """Says how many groups there are, and how many test images share one with training."""
  train, test = dataset.train.groups, dataset.test.groups
  groups, sizes = np.unique(np.concatenate([train, test]), return_counts=True)
  line = (
    f'groups {len(groups)} of images that show the same part, {len(np.unique(train))} of them in '
    f'training; the largest has {sizes.max()} images'
  )
  normal = test[dataset.test.labels == NORMAL]
  if not len(normal):
    return line
  shared = int(np.isin(normal, train).sum())
  return (
    f'{line}\ntwins  {shared} of {len(normal)} sound test images ({shared / len(normal):.1%}) have '
    'a twin in training, i.e. show a part that training shows, too'
  )


def draw_closest(dataset: Prepared, path: Path) -> None:
  """Writes a PNG of the pairs in the dataset's report, each with its verdict."""
  splits = {'train': dataset.train, 'test': dataset.test}
  place = {(side, name): i for side, split in splits.items() for i, name in enumerate(split.names)}

  def show(side: str, name: str) -> np.ndarray:
    image = to_rgb(open_image(splits[side].records[place[side, name]]['image']))
    image.thumbnail((PAIR_SIZE, PAIR_SIZE))
    return np.asarray(image)

  full_name = lambda side, name: name if name.startswith(side) else f'{side}/{name}'
  drawn = []
  for first, second, similarity in dataset.report['pairs']:
    one, other = (splits[side].groups[place[side, name]] for side, name in (first, second))
    twin, together, remark = similarity > THRESHOLD, one == other, ''
    # Others may connect two that are no twins; a rule of the user may separate twins.
    if together != twin:
      remark = ' (same group)' if together else ' (other group)'
    names = full_name(*first), full_name(*second)
    drawn.append(pairs.Pair((show(*first), show(*second)), names, similarity, twin, remark))
  title = (
    'Images that look alike: the most similar pairs, and those next to the threshold.\n'
    f'A pair whose similarity is over {THRESHOLD:g} counts as one part (twins).'
  )
  pairs.draw_pairs(path, drawn, title)


def contact_sheet(dataset: Prepared, path: Path) -> None:
  """Writes a PNG with a few images of each split and defect type."""
  rows, pictures = [], []
  for name, split in (('train', dataset.train), ('test', dataset.test)):
    types = np.array(split.defect_types)
    for kind in dict.fromkeys(split.defect_types):
      indices = np.flatnonzero(types == kind)
      chosen = indices[np.linspace(0, len(indices) - 1, PER_TYPE).round().astype(int)]
      images = StreamedImages(split.records, chosen, Framing(PICTURE_SIZE))
      rows.append(f'{name}\n{kind}')
      pictures.append(images[np.arange(PER_TYPE)])
  columns = {f'{i + 1}': np.stack([row[i] for row in pictures]) for i in range(PER_TYPE)}
  figures.sheet(path, rows, columns)


def main() -> None:
  """Runs the command."""
  config, picture = flags.FLAGS.config, Path(flags.FLAGS.picture)
  check_writable(picture, '--picture')
  if flags.FLAGS.pairs:
    check_writable(Path(flags.FLAGS.pairs), '--pairs')
  dataset = prepare_dataset(config.data_dir, config.data)
  print(describe(dataset.report))
  if config.data.groups != NONE:
    print(describe_groups(dataset))
  mark_output(picture.parent, picture.name)
  contact_sheet(dataset, picture)
  print(f'picture: {picture}')
  if dataset.report['pairs'] and flags.FLAGS.pairs:
    closest = Path(flags.FLAGS.pairs)
    mark_output(closest.parent, closest.name)
    draw_closest(dataset, closest)
    print(f'closest pairs: {closest}')


if __name__ == '__main__':
  config_flags.DEFINE_config_file('config', help_string='config file', lock_config=True)
  flags.DEFINE_string('picture', 'runs/contact_sheet.png', 'file for the contact sheet')
  flags.DEFINE_string(
    'pairs',
    'runs/pairs.png',
    'file for a picture of about a dozen pairs to judge the groups by: the most similar ones and '
    "those next to the threshold of twins; '' for none",
  )
  flags.mark_flag_as_required('config')
  command_line.run(main)
