r"""Runs the recipe `restore` with one part changed at a time.

  python -m experiments.ablation --data_dir=… --sets=tile,elpv --seeds=0
  python -m experiments.ablation --data_dir=… --variants='restore,band statistics alone' \
      --sets=tile,kolektor,plane --image_size=256 --seeds=0,1,2 --test

`data_dir` contains the datasets' folders, named as in SETS. Each run has its own folder under
`--workdir`, and adds a line to `results.jsonl` when it is done. Finished runs are skipped, so an
interrupted command can be started again.
"""

import itertools
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import ml_collections
import numpy as np
from absl import flags

from experiments import configs
from experiments.runner import KEPT, append
from ocrgan_jax.core import command_line
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import write_text
from ocrgan_jax.reports.evaluation import evaluate
from ocrgan_jax.runs.checkpoint import VALIDATION
from ocrgan_jax.training.log import read_lines
from ocrgan_jax.training.train import train

# Name → config file, category, folder in `--data_dir`. Recipes are developed on the first four.
SETS = {
  'bottle': ('mvtec', 'bottle', 'mvtec_ad'),
  'dagm': ('dagm', 'Class1', 'dagm'),
  'elpv': ('elpv', 'mono', ''),
  'tile': ('magnetic_tile', '', 'magnetic_tile'),
  'plane': ('cifar10', 's1-plane', 'cifar10'),
  'car': ('cifar10', 's1-car', 'cifar10'),
  'horse': ('cifar10', 's1-horse', 'cifar10'),
  'kolektor': ('kolektor', '', 'kolektor_sdd'),
}
DEVELOPMENT = ('bottle', 'dagm', 'elpv', 'tile')
CIFAR_SIZE = 32  # CIFAR-10 ignores --image_size
ALONE = 'band statistics alone'  # the preset `statistics`
# Name → changed fields of the config.
VARIANTS: dict[str, dict[str, Any]] = {
  'restore': {},
  ALONE: {},
  'no band statistics in the density': {'density.channels': 'pixels', 'model.deviations': False},
  'D is given no deviations': {'model.deviations': False},
  # No mixtures are trained on here, so validation uses all families, not only the unseen ones.
  'CutPaste and CutOut instead of mixtures': {
    'forgery.mixtures': False,
    'forgery.cutpaste': True,
    'forgery.cutout': True,
  },
  'nothing left unforged': {'forgery.unforged': 0.0},
  'no SSIM': {'loss.ssim': 0.0},
  # This gradient is far below Adam's epsilon of 1e-8, so G hardly moves.
  'G is not trained': {'loss.content': 1e-20, 'loss.ssim': 0.0},
  'no cosine, no average': {'train.decay': 'none', 'train.average': 0.0},
  # Has as many parameters as the two U-Nets.
  'one U-Net, no bands': {'model.branches': 1, 'model.width': 6},
  'bands without CS': {'model.channel_selection': False},
}


def main() -> int:
  """Runs the command."""
  values = flags.FLAGS
  workdir = Path(values.workdir)
  for given, known in ((values.sets, SETS), (values.variants, VARIANTS)):
    if unknown := [name for name in given if name not in known]:
      raise InputError(f'there is no {unknown[0]!r}; there are {", ".join(known)}')
  failed = 0
  for seed in command_line.parse_ints('seeds', values.seeds):
    for variant in values.variants or VARIANTS:
      for name in values.sets:
        try:
          run(workdir, values.data_dir, name, variant, values.image_size, seed, test=values.test)
        except InputError as error:
          failed += 1
          print(f'failed: {name}, {variant}, seed {seed}: {error}', file=sys.stderr)
  lines = read_lines(workdir / 'results.jsonl')
  lines = [x for x in lines if x['image_size'] == size_of(x['set'], values.image_size)]
  table = markdown(lines, values.sets) + '\n' + by_seed(lines, values.sets)
  write_text(workdir / 'table.md', table)
  print(table)
  return int(failed > 0)


def run(
  workdir: Path, data_dir: str, name: str, variant: str, size: int, seed: int, *, test: bool
) -> None:
  """Trains one variant on one set and writes its line of results, unless it is there already.

  Args:
    workdir: folder of the ablation.
    data_dir: folder that contains the datasets' folders.
    name: a key of SETS.
    variant: a key of VARIANTS.
    size: side of the images, except for CIFAR-10.
    seed: seed of the run.
    test: whether to evaluate on the test set.
  """
  results = workdir / 'results.jsonl'
  size = size_of(name, size)
  key = {'set': name, 'variant': variant, 'image_size': size, 'seed': seed}
  done = [line for line in read_lines(results) if key.items() <= line.items()]
  if any('test' in line or not test for line in done):
    return
  print(f'{name}, {variant}, {size} pixels, seed {seed}', file=sys.stderr)
  folder = workdir / '-'.join([name, str(size), str(seed), *variant.replace(',', '').split()])
  begun = time.monotonic()
  train(config_of(data_dir, name, variant, size, seed), folder)
  minutes = (time.monotonic() - begun) / 60
  jax.clear_caches()  # each variant has its own program
  lines = read_lines(folder / 'metrics.jsonl')
  row = {**key, 'validation': lines[-1][VALIDATION], 'minutes': round(minutes, 1)}
  if test:
    metrics = evaluate(folder, pictures=False)
    row |= {'test': metrics['image_auroc'], **{name: metrics.get(name) for name in KEPT}}
  append(results, row)


def size_of(name: str, size: int) -> int:
  """The side of a set's images if `size` is requested."""
  return CIFAR_SIZE if SETS[name][0] == 'cifar10' else size


def config_of(
  data_dir: str, name: str, variant: str, size: int, seed: int
) -> ml_collections.ConfigDict:
  """The config of one run; arguments as in `run`."""
  file, category, folder = SETS[name]
  fields = {
    'data_dir': str(Path(data_dir, folder)) if folder else '',
    'image_size': size,
    'seed': seed,
    **VARIANTS[variant],
  }
  recipe = 'statistics' if variant == ALONE else 'restore'
  return configs.config_of(file, category, recipe, fields)


def markdown(lines: Sequence[dict[str, Any]], sets: Sequence[str]) -> str:
  """A table of the variants: validation AUROC and test AUROC, means over seeds.

  Args:
    lines: lines of `results.jsonl`, with one size of images for each set.
    sets: the columns.

  Returns:
    The text, with '–' where nothing was run.
  """

  def cell(variant: str, name: str) -> str:
    same = [line for line in lines if (line['variant'], line['set']) == (variant, name)]
    # A run that was tested later has two lines; the last one counts.
    rows = [*{line['seed']: line for line in same}.values()]
    if not rows:
      return '–'
    mean = lambda field: float(np.mean([row[field] for row in rows if field in row]))
    tested = any('test' in row for row in rows)
    return f'{mean("validation"):.3f}' + (f', {mean("test"):.3f}' if tested else '')

  head = ['| variant | ' + ' | '.join(sets) + ' |', '|---' * (len(sets) + 1) + '|']
  body = [
    f'| {variant} | ' + ' | '.join(cell(variant, name) for name in sets) + ' |'
    for variant in VARIANTS
  ]
  return '\n'.join([*head, *body]) + '\n'


def by_seed(lines: Sequence[dict[str, Any]], sets: Sequence[str]) -> str:
  """A table of the tested runs: the AUROC of each seed, the mean, and the rates at the threshold.

  Args:
    lines: lines of `results.jsonl`, with one size of images for each set.
    sets: the sets to show.

  Returns:
    The text.
  """
  tested = {(line['variant'], line['set'], line['seed']): line for line in lines if 'test' in line}
  text = [
    '| set | variant | image AUROC, seeds | mean | AUPRO, mean | recall; false alarms, by seed |',
    '|---|---|---|---|---|---|',
  ]
  for name, variant in itertools.product(sets, VARIANTS):
    rows = [row for key, row in sorted(tested.items()) if key[:2] == (variant, name)]
    if not rows:
      continue
    shown = lambda field, rows=rows: ', '.join(f'{row[field]:.3f}' for row in rows)
    mean = lambda field, rows=rows: float(np.mean([row[field] for row in rows]))
    seeds = ', '.join(str(row['seed']) for row in rows)
    pixels = '–' if rows[0]['aupro'] is None else f'{mean("aupro"):.3f}'
    text.append(
      f'| {name} | {variant} | {seeds}: {shown("test")} | {mean("test"):.4f} | {pixels} | '
      f'{shown("recall")}; {shown("false_alarm_rate")} |'
    )
  return '\n'.join(text) + '\n'


if __name__ == '__main__':
  flags.DEFINE_string('workdir', 'runs/ablation', 'folder for the runs and the results')
  flags.DEFINE_string('data_dir', '', "folder that contains the datasets' folders")
  flags.DEFINE_list('sets', list(DEVELOPMENT), f'datasets: {", ".join(SETS)}')
  flags.DEFINE_list('variants', [], 'variants to run; by default all')
  flags.DEFINE_integer('image_size', 128, 'side of the images')
  flags.DEFINE_list('seeds', ['0'], 'seeds of each variant')
  flags.DEFINE_bool('test', False, 'also evaluate on the test sets (count such looks)')
  command_line.run(main)
