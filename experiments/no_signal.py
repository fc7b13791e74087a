"""What is measured where there is nothing to be found: `python -m experiments.no_signal`.

Normal and 'anomalous' images are drawn alike, so that every honest AUROC is 0.5, but for chance.
Beside it stands what the best of all epochs on the test set would have claimed, which is how the
release of the paper chooses. As many images as in the trial of the release: 93 and 22 to test.
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
LENGTH = {'paper': ('train.epochs=40',), 'restore': ('train.steps=1000',)}
QUICK_LENGTH = {'paper': ('train.epochs=1',), 'restore': ('train.steps=3', 'train.warmup=0')}
# Of an AUROC of 0.5 by chance: Mann and Whitney's.
STANDARD_ERROR = math.sqrt((NUM_NORMAL + NUM_ANOMALOUS + 1) / (12 * NUM_NORMAL * NUM_ANOMALOUS))
WIDTH = 2.58  # standard errors within which 99 of 100 such means lie


def draw_images(root: Path, seed: int) -> None:
  """Draws a dataset in MVTec AD's layout whose test images are all alike.

  Args:
    root: the folder of its one category.
    seed: of the draw.
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
  """The verdict on each recipe and protocol.

  Args:
    results: recipe → of its runs.

  Returns:
    Lines of a table, and whether each honest mean lies where chance puts it.
  """
  lines = [
    '| | mean of the draws | chance puts it within | from, to |',
    '|---|---|---|---|',
  ]
  sound = True
  for recipe, of_recipe in results.items():
    for protocol in ('last', 'validation', 'oracle'):
      values = [outcome[protocol] for outcome in of_recipe.outcomes.values()]
      mean, allowed = float(np.mean(values)), WIDTH * STANDARD_ERROR / math.sqrt(len(values))
      honest = protocol != 'oracle'
      sound &= not honest or abs(mean - 0.5) <= allowed
      name = protocol if honest else 'best of all epochs on the test set'
      lines.append(
        f'| {RECIPES[recipe]}: {name} | {mean:.3f} | {0.5 - allowed:.3f} to {0.5 + allowed:.3f} | '
        f'{min(values):.3f}, {max(values):.3f} |'
      )
  return lines, sound


def main() -> int:
  """Runs the command; the status is 1 if an honest number is further from 0.5 than by chance."""
  values = flags.FLAGS
  workdir = Path(values.workdir)
  draws = [f'draw{k}' for k in range(1 if values.quick else values.draws)]
  for k, name in enumerate(draws):
    if not (workdir / 'images' / name).exists():
      draw_images(workdir / 'images' / name, k)
  made = Experiment(
    name='no_signal',
    title='No signal: normal and "anomalous" images drawn alike',
    config='mvtec',
    rows={name: Row(None, name) for name in draws},
    averages={'mean': (tuple(draws), None)},
    note=f'{NUM_TRAIN} training images, {NUM_NORMAL} normal and {NUM_ANOMALOUS} "anomalous" ones.',
  )
  results = {
    recipe: experiment.run(
      made,
      workdir,
      str(workdir / 'images'),
      recipes=[recipe],
      overrides=[*SETTINGS, *(QUICK_LENGTH if values.quick else LENGTH)[recipe]],
    )
    for recipe in RECIPES
  }
  failed = [o['error'] for r in results.values() for o in r.outcomes.values() if 'error' in o]
  if failed:
    print(f'not run: {failed[0]}')
    return 1
  lines, sound = lines_of(results)
  text = '\n'.join([*lines, '', *(tables.markdown(each) for each in results.values())])
  write_text(workdir / 'no_signal.md', text)
  print(text)
  return int(not sound)


if __name__ == '__main__':
  flags.DEFINE_string('workdir', 'runs/no_signal', 'folder of the images, the runs, the table')
  flags.DEFINE_integer('draws', 5, 'datasets to draw')
  flags.DEFINE_bool('quick', False, 'one draw and a few steps: to see that it works')
  command_line.run(main)
