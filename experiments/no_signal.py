"""Measures the AUROC where there is nothing to find.

  python -m experiments.no_signal

Normal and "anomalous" images are drawn from one distribution, so every honest AUROC is 0.5 up to
chance. For comparison, the table shows the best epoch on the test set, which is what the paper's
release reports. The test set is as large as in the trial of that release: 93 and 22 images.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from PIL import Image

from experiments.configs import check_known
from experiments.markdown import number, table
from experiments.paper import experiment, tables
from experiments.paper.experiment import RECIPES, Experiment, Results, Row
from experiments.runner import PROTOCOLS
from ocrgan_jax.core import command_line
from ocrgan_jax.core.files import write_text

COUNTS = {'train/good': 200, 'test/good': 93, 'test/defect': 22}
SIZE = 32
SETTINGS = {'image_size': SIZE, 'model.width': 8, 'train.checkpoint_every': 1}
EPOCHS = 40  # of the paper's training
# Of an AUROC whose true value is 0.5, after Mann and Whitney.
STANDARD_ERROR = math.sqrt((93 + 22 + 1) / (12 * 93 * 22))
WIDTH = 2.58  # 99 of 100 means lie within so many standard errors


def draw_images(root: Path, seed: int) -> None:
  """Draws a category in MVTec AD's layout whose two classes do not differ."""
  rng, partial = np.random.default_rng(seed), root.with_name(f'.{root.name}')
  for folder, count in COUNTS.items():
    (partial / folder).mkdir(parents=True, exist_ok=True)
    for i in range(count):
      small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
      smooth = np.asarray(small.resize((SIZE, SIZE), Image.Resampling.BICUBIC), np.float32)
      image = np.clip(smooth + rng.normal(0, 8, smooth.shape), 0, 255).astype(np.uint8)
      Image.fromarray(image).save(partial / folder / f'{i:03}.png')
  partial.rename(root)


def lines_of(results: dict[str, Results]) -> tuple[list[str], bool]:
  """The mean AUROC of each recipe and protocol, against what chance allows.

  Returns:
    The lines of a table, and whether every honest mean is within chance of 0.5.
  """
  cells, passed = [], True
  for recipe, found in results.items():
    for protocol in PROTOCOLS:
      values = [outcome[protocol] for outcome in found.outcomes.values()]
      mean, allowed = float(np.mean(values)), WIDTH * STANDARD_ERROR / math.sqrt(len(values))
      honest = protocol != 'oracle'
      passed &= not honest or abs(mean - 0.5) <= allowed
      name = protocol if honest else 'best of all epochs on the test set'
      by_chance = f'{number(0.5 - allowed)} to {number(0.5 + allowed)}'
      ends = f'{number(min(values))}, {number(max(values))}'
      cells.append([f'{RECIPES[recipe]}: {name}', number(mean), by_chance, ends])
  return table(['', 'mean of the draws', 'range by chance', 'lowest, highest'], cells), passed


def main() -> int:
  """Runs the command; the status is 1 if an honest mean is farther from 0.5 than chance allows."""
  values = flags.FLAGS
  check_known('recipes', values.recipes, RECIPES)
  workdir = Path(values.workdir)
  draws = [f'draw{k}' for k in range(1 if values.quick else values.draws)]
  for k, name in enumerate(draws):
    if not (workdir / 'images' / name).exists():
      draw_images(workdir / 'images' / name, k)
  train, normal, anomalous = COUNTS.values()
  spec = Experiment(
    name='no_signal',
    title='No signal: normal and "anomalous" images of one distribution',
    config='mvtec',
    rows={name: Row(None, name) for name in draws},
    averages={'mean': (tuple(draws), None)},
    note=f'{train} training images, {normal} normal and {anomalous} "anomalous" ones.',
  )
  results = {}
  for recipe in values.recipes:
    length: dict[str, Any] = {'train.epochs': 1 if values.quick else EPOCHS}
    overrides = {**SETTINGS, **(length if recipe == 'paper' else {})}
    results[recipe] = experiment.run(
      spec, workdir, str(workdir / 'images'), recipe=recipe, overrides=overrides
    )
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
