"""Prepares and checks a dataset without training: `python -m ocrgan_jax.data --config=…`."""

from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from ml_collections import config_flags

from ocrgan_jax.core import command_line
from ocrgan_jax.data.builder import Prepared
from ocrgan_jax.data.datasets import prepare_dataset
from ocrgan_jax.data.examples import NORMAL
from ocrgan_jax.data.framing import Framing
from ocrgan_jax.data.groups import NONE
from ocrgan_jax.data.images import StreamedImages
from ocrgan_jax.data.inspection import CONVERSIONS
from ocrgan_jax.drawing import figures

PER_TYPE = 6  # images per defect type on the contact sheet
PICTURE_SIZE = 128  # pixels


def describe(report: dict[str, Any]) -> str:
  """Formats the report of `inspection.inspect` for the terminal."""
  lines = []
  for split, counts in report['counts'].items():
    kinds = ', '.join(f'{count} {kind}' for kind, count in counts.items()) or 'none'
    lines.append(f'{split:6} {sum(counts.values()):6} images: {kinds}')
  lines.append('sizes  ' + ', '.join(f'{size} ({n})' for size, n in report['sizes'].items()))
  for mode, count in report['modes'].items():
    lines.append(
      f'colour {mode} ({count})' + (f': {rule}' if (rule := CONVERSIONS.get(mode)) else '')
    )
  lines.append(f'masks  {report["masks"]} images have a mask')
  lines += [f'left out {name}: {reason}' for name, reason in report['skipped']]
  lines += [f'warning: {warning}' for warning in report['warnings']]
  return '\n'.join(lines)


def describe_groups(dataset: Prepared) -> str:
  """Describes in one line how many groups there are, and how many test images share one."""
  sizes = np.bincount(np.concatenate([dataset.train.groups, dataset.test.groups]))
  normal = dataset.test.groups[dataset.test.labels == NORMAL]
  shared = np.isin(normal, dataset.train.groups).sum()
  return (
    f'groups {len(np.unique(dataset.train.groups))} in training, the largest has {sizes.max()} '
    f'images; {shared} of {len(normal)} sound test images are of a group in training'
  )


def contact_sheet(dataset: Prepared, path: Path) -> None:
  """Writes a PNG with a few images of each split and defect type."""
  rows, pictures = [], []
  for name, split in (('train', dataset.train), ('test', dataset.test)):
    for kind in dict.fromkeys(split.defect_types):
      indices = np.array([i for i, k in enumerate(split.defect_types) if k == kind])
      chosen = indices[np.linspace(0, len(indices) - 1, PER_TYPE).round().astype(int)]
      streamed = StreamedImages(split.records, chosen, Framing(PICTURE_SIZE))
      images = streamed[np.arange(PER_TYPE)]
      rows.append(f'{name}\n{kind}')
      pictures.append(images)
  columns = {f'{i + 1}': np.stack([row[i] for row in pictures]) for i in range(PER_TYPE)}
  figures.sheet(path, rows, columns)


def main() -> None:
  """Runs the command."""
  config = flags.FLAGS.config
  dataset = prepare_dataset(config.data_dir, config.data)
  print(describe(dataset.report))
  if config.data.groups != NONE:
    print(describe_groups(dataset))
  path = Path(flags.FLAGS.picture)
  contact_sheet(dataset, path)
  print(f'picture: {path}')


if __name__ == '__main__':
  config_flags.DEFINE_config_file('config', help_string='config file', lock_config=True)
  flags.DEFINE_string('picture', 'runs/contact_sheet.png', 'file for the contact sheet')
  flags.mark_flag_as_required('config')
  command_line.run(main, computes=False)
