"""Measures the AUROC where there is nothing to find.

  python -m experiments.no_signal

Normal and "anomalous" images are drawn from one distribution, so every honest AUROC is 0.5 up to
chance. For comparison, the table shows the best epoch on the test set, which is what the paper's
release reports. The test set is as large as in the trial of that release: 93 and 22 images.
"""

import math
from pathlib import Path

import numpy as np
from absl import flags
from PIL import Image

from experiments.paper import experiment, tables
from experiments.paper.experiment import RECIPES, Experiment, Results, Row
from ocrgan_jax.core import command_line
from ocrgan_jax.core.files import write_text

NUM_TRAIN, NUM_NORMAL, NUM_ANOMALOUS = 200, 93, 22
SIZE = 32
SETTINGS = ('image_size=32', 'model.width=8', 'train.checkpoint_every=1')
LENGTH = {'paper': ('train.epochs=40',), 'bands': ()}
QUICK_LENGTH = {'paper': ('train.epochs=1',), 'bands': ()}
# Of an AUROC whose true value is 0.5, after Mann and Whitney.
STANDARD_ERROR = math.sqrt((NUM_NORMAL + NUM_ANOMALOUS + 1) / (12 * NUM_NORMAL * NUM_ANOMALOUS))
WIDTH = 2.58  # 99 of 100 means lie within so many standard errors


def draw_images(root: Path, seed: int) -> None:
  """Draws a dataset in MVTec AD's layout whose two classes do not differ.

  Args:
    root: the folder of its only category.
    seed: seed of the images.
  """
  rng, partial = np.random.default_rng(seed), root.with_name(f'.{root.name}')
  for folder, count in (
    ('train/good', NUM_TRAIN),
    ('test/good', NUM_NORMAL),
    ('test/defect', NUM_ANOMALOUS),
  ):
    (partial / folder).mkdir(parents=True, exist_ok=True)
    for i in range(count):
      small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
      smooth = np.asarray(small.resize((SIZE, SIZE), Image.Resampling.BICUBIC), np.float32)
      image = np.clip(smooth + rng.normal(0, 8, smooth.shape), 0, 255).astype(np.uint8)
      Image.fromarray(image).save(partial / folder / f'{i:03}.png')
  partial.rename(root)


def lines_of(results: dict[str, Results]) -> tuple[list[str], bool]:
  """The mean AUROC of each recipe and protocol, against what chance allows.

  Args:
    results: recipe → results of its runs.

  Returns:
    The lines of a table, and whether every honest mean is within chance of 0.5.
  """
  lines = [
    '| | mean of the draws | range by chance | lowest, highest |',
    '|---|---|---|---|',
  ]
  passed = True
  for recipe, found in results.items():
    for protocol in ('last', 'validation', 'oracle'):
      values = [outcome[protocol] for outcome in found.outcomes.values()]
      mean, allowed = float(np.mean(values)), WIDTH * STANDARD_ERROR / math.sqrt(len(values))
      honest = protocol != 'oracle'
      passed &= not honest or abs(mean - 0.5) <= allowed
      name = protocol if honest else 'best of all epochs on the test set'
      lines.append(
        f'| {RECIPES[recipe]}: {name} | {mean:.3f} | {0.5 - allowed:.3f} to {0.5 + allowed:.3f} | '
        f'{min(values):.3f}, {max(values):.3f} |'
      )
  return lines, passed


def main() -> int:
  """Runs the command; the status is 1 if an honest mean is farther from 0.5 than chance allows."""
  values = flags.FLAGS
  workdir = Path(values.workdir)
  draws = [f'draw{k}' for k in range(1 if values.quick else values.draws)]
  for k, name in enumerate(draws):
    if not (workdir / 'images' / name).exists():
      draw_images(workdir / 'images' / name, k)
  spec = Experiment(
    name='no_signal',
    title='No signal: normal and "anomalous" images of one distribution',
    config='mvtec',
    rows={name: Row(None, name) for name in draws},
    averages={'mean': (tuple(draws), None)},
    note=f'{NUM_TRAIN} training images, {NUM_NORMAL} normal and {NUM_ANOMALOUS} "anomalous" ones.',
  )
  results = {
    recipe: experiment.run(
      spec,
      workdir,
      str(workdir / 'images'),
      recipes=[recipe],
      overrides=[*SETTINGS, *(QUICK_LENGTH if values.quick else LENGTH)[recipe]],
    )
    for recipe in values.recipes
  }
  failed = [o['error'] for r in results.values() for o in r.outcomes.values() if 'error' in o]
  if failed:
    print(f'not run: {failed[0]}')
    return 1
  lines, passed = lines_of(results)
  text = '\n'.join([*lines, '', *(tables.markdown(each) for each in results.values())])
  write_text(workdir / 'no_signal.md', text)
  print(text)
  return int(not passed)


if __name__ == '__main__':
  flags.DEFINE_string('workdir', 'runs/no_signal', 'folder for the images, the runs and the table')
  flags.DEFINE_list('recipes', list(RECIPES), f'recipes: {", ".join(RECIPES)}')
  flags.DEFINE_integer('draws', 5, 'number of datasets to draw')
  flags.DEFINE_bool('quick', False, 'check that it works: one draw, a few steps')
  command_line.run(main)
