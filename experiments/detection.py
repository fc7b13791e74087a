"""Measures recipes on the development sets: what they detect, and how many false alarms they give.

  python -m experiments.detection --data_dir=…
  python -m experiments.detection --data_dir=… --recipes=bands,paper --sets=cookie --seeds=0,1,2

`data_dir` contains the folders of SETS. Each run has its own folder under `--workdir`, and adds a
line to `results.jsonl` when it is done. Finished runs are skipped, so an interrupted command can
be started again. Every line is a look at the test sets.
"""

import itertools
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from scipy.stats import betabinom

import ocrgan_jax
from experiments import markdown, rows
from experiments.configs import SETS, check_known, config_of_set
from experiments.markdown import mean, number
from experiments.rows import Row
from experiments.tested import load_tested, outputs
from ocrgan_jax.core import command_line
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import write_text
from ocrgan_jax.data.examples import ANOMALOUS, NORMAL
from ocrgan_jax.heads.tails import combine
from ocrgan_jax.reports.trivial import NEAREST
from ocrgan_jax.scoring.calibration import CONFIDENCE, Calibration
from ocrgan_jax.scoring.metrics import image_auroc

RECIPES = ('bands', 'paper')
# Metrics that go into a line of results.
KEPT = (
  'image_auroc',
  'image_auroc_without_twins',
  'headline',
  'aupro',
  'recall',
  'false_alarm_rate',
  'num_normal',
  'num_anomalous',
  'num_held_out_groups',
)


def main() -> int:
  """Runs the command."""
  values = flags.FLAGS
  workdir, failed = Path(values.workdir), False
  check_known('sets', values.sets, SETS)
  check_known('recipes', values.recipes, RECIPES)
  seeds = command_line.parse_ints('seeds', values.seeds)
  for seed, recipe, name in itertools.product(seeds, values.recipes, values.sets):
    try:
      run(workdir, values.data_dir, name, recipe, values.image_size, seed)
    except InputError as error:
      failed = True
      print(f'failed: {name}, {recipe}, seed {seed}: {error}', file=sys.stderr)
  done = rows.read(workdir / 'results.jsonl')
  lines = [row for row in done if row['image_size'] == values.image_size]
  text = '\n'.join(table(lines, values.sets) for table in (means, by_heads, by_seed))
  write_text(workdir / 'table.md', text)
  print(text)
  return int(failed)


def run(workdir: Path, data_dir: str, name: str, recipe: str, size: int, seed: int) -> None:
  """Trains and evaluates one recipe on one set, unless its line of results is there already.

  `workdir` is the folder of all runs, `data_dir` contains the datasets' folders, and the size is
  the side of the images in pixels, 0 to choose it by the photographs.
  """
  key = {'set': name, 'recipe': recipe, 'image_size': size, 'seed': seed}
  if rows.find(workdir / 'results.jsonl', **key):
    return
  print(f'{name}, {recipe}, {size} pixels, seed {seed}', file=sys.stderr)
  folder = workdir / '-'.join([name, str(size), str(seed), recipe])
  begun = time.perf_counter()
  ocrgan_jax.train(
    config_of_set(name, data_dir, recipe, {'image_size': size, 'seed': seed}), folder
  )
  minutes = (time.perf_counter() - begun) / 60
  metrics = ocrgan_jax.evaluate(folder, pictures=False)
  scorer, dataset, images = load_tested(folder)
  scores = scorer.score(images)  # compiles
  begun = time.perf_counter()
  scorer.score(images)
  seconds = time.perf_counter() - begun
  trivial = {k: v for k, v in metrics['trivial'].items() if k != NEAREST}
  row: Row = {
    **key,
    **{name: metrics.get(name) for name in KEPT},
    'minutes': round(minutes, 2),
    'trivial': max(trivial.items(), key=lambda item: item[1]),
    'asked': scorer.config.score.false_alarms,
    'expected': expected_alarms(scorer.calibration, metrics['num_normal']),
    'images_per_second': round(len(images) / seconds, 1),
    'recall_at_1_percent': recall_at(scores, dataset.test.labels, 0.01),
  }
  if recipe == 'bands':
    judged = np.ones(len(scores), bool)
    if metrics['headline'] != 'image_auroc':  # then it leaves out what training shows, too
      judged = ~np.isin(dataset.test.groups, dataset.train.groups)
    (found,) = outputs(scorer, images, 'heads')
    names = scorer.config.score.heads.split(',')
    row['heads'] = subsets_of_heads(names, found[judged], dataset.test.labels[judged])
  jax.clear_caches()  # each recipe has its own program
  rows.append(workdir / 'results.jsonl', row)


def recall_at(scores: np.ndarray, labels: np.ndarray, rate: float) -> float:
  """The share of anomalous images above the lowest threshold with at most `rate` false alarms."""
  normal = np.sort(scores[labels == NORMAL])[::-1]
  return float((scores[labels == ANOMALOUS] > normal[int(rate * len(normal))]).mean())


def subsets_of_heads(
  names: Sequence[str], surprises: np.ndarray, labels: np.ndarray
) -> dict[str, float | None]:
  """The AUROC of each subset of the heads, by names joined by commas.

  Heads are fitted apart from each other, so leaving some out needs no other fit. Surprises are
  -log p of each head, float32 [images, heads].
  """
  found = {}
  for count in range(1, len(names) + 1):
    for chosen in itertools.combinations(range(len(names)), count):
      scores = np.asarray(combine(jnp.asarray(surprises[:, chosen]), axis=1))
      found[','.join(names[i] for i in chosen)] = image_auroc(labels, scores)
  return found


def expected_alarms(calibration: Calibration, count: int) -> tuple[int, int]:
  """The false alarms to expect among so many sound images: the central 95 % of their number.

  Their rate is Beta distributed, as in `calibration.false_alarm_rates`, so their number is
  Beta-binomial.
  """
  groups = calibration.num_groups
  over = groups * float((calibration.held_out > np.float32(calibration.threshold)).mean())
  alarms = betabinom(count, over + 1, groups - over)
  tail = (1 - CONFIDENCE) / 2
  return int(alarms.ppf(tail)), int(alarms.ppf(1 - tail))


def means(lines: Sequence[Row], sets: Sequence[str]) -> str:
  """A table of the recipes: the headline AUROC on each set, its mean over seeds.

  Where nothing was run is '–', and so is the mean over the sets unless all were run.
  """
  cells = []
  for recipe in RECIPES:
    found: dict[str, list[float]] = {}
    for row in lines:
      if row['recipe'] == recipe and row['set'] in sets:
        found.setdefault(row['set'], []).append(row[row['headline']])
    if found:
      values = [mean(found.get(name, [])) for name in sets]
      cells.append([recipe, *map(number, [*values, mean(values)])])
  trivial = {row['set']: row['trivial'][1] for row in lines}
  cells.append(['best trivial score', *(number(trivial.get(name)) for name in sets), ''])
  return '\n'.join([*markdown.table(['', *sets, 'mean'], cells), ''])


def by_heads(lines: Sequence[Row], sets: Sequence[str]) -> str:
  """A table of the heads: each left out, each alone, and the choice of heads for a set unseen.

  In its last line the subset of heads for each set is the one with the best mean over all other
  sets. There is no table, '', unless there are lines with heads for all sets.
  """
  first = {row['set']: row['heads'] for row in reversed(lines) if 'heads' in row}
  if len(sets) < 2 or any(name not in first for name in sets):
    return ''
  subsets = [*first[sets[0]]]
  aurocs = np.array([[first[name][subset] for name in sets] for subset in subsets])
  names = max(subsets, key=len).split(',')
  shown = {'all heads': aurocs[-1]}
  for name in names:
    rest = ','.join(x for x in names if x != name)
    shown[f'without {name}'] = aurocs[subsets.index(rest)]
  shown |= {f'{name} alone': aurocs[subsets.index(name)] for name in names}
  left_out = [np.delete(aurocs, i, axis=1).mean(1).argmax() for i in range(len(sets))]
  shown['chosen on the other sets'] = aurocs[left_out, range(len(sets))]
  cells = [[label, *map(number, row), number(row.mean())] for label, row in shown.items()]
  chosen = '; '.join(f'{n}: {subsets[i]}' for n, i in zip(sets, left_out, strict=True))
  table = markdown.table(['heads', *sets, 'mean'], cells)
  return '\n'.join([*table, '', f'Chosen on the other sets: {chosen}.', ''])


def by_seed(lines: Sequence[Row], sets: Sequence[str]) -> str:
  """A table of the runs: the AUROC of each seed, recall, and false alarms.

  Below it is the number of runs whose false alarms are within the predicted interval.
  """
  cells, held = [], 0
  order = lambda row: (sets.index(row['set']), RECIPES.index(row['recipe']), row['seed'])
  for row in sorted((row for row in lines if row['set'] in sets), key=order):
    observed, (low, high) = round(row['false_alarm_rate'] * row['num_normal']), row['expected']
    held += low <= observed <= high
    twins = row['image_auroc_without_twins']
    cells.append(
      [
        row['set'],
        row['recipe'],
        str(row['seed']),
        number(row['image_auroc']) + (f' ({number(twins)})' if twins is not None else ''),
        number(row['aupro']),
        f'{number(row["recall"])}; {number(row["recall_at_1_percent"])}',
        f'{row["asked"]:.0%}, {low} to {high}, {observed} of {row["num_normal"]}',
        str(row['num_held_out_groups']),
        f'{row["minutes"]:.1f}',
        f'{row["images_per_second"]:.0f}',
      ]
    )
  head = ['set', 'recipe', 'seed', 'image AUROC (without twins)', 'AUPRO']
  head.append('recall at the threshold; at 1 % false alarms')
  head.append('false alarms of sound images: requested, predicted (95 %), observed')
  table = markdown.table([*head, 'groups', 'min', 'images/s'], cells)
  within = f'False alarms within the predicted interval: {held} of {len(cells)} runs.'
  return '\n'.join([*table, '', within, ''])


if __name__ == '__main__':
  flags.DEFINE_string('workdir', 'runs/detection', 'folder for the runs and the results')
  flags.DEFINE_string('data_dir', '', "folder that contains the datasets' folders")
  flags.DEFINE_list('sets', list(SETS), f'datasets: {", ".join(SETS)}')
  flags.DEFINE_list('recipes', ['bands'], f'recipes to run: {", ".join(RECIPES)}')
  flags.DEFINE_integer('image_size', 0, 'side of the images; 0: chosen by the photographs')
  flags.DEFINE_list('seeds', ['0'], 'seeds of each recipe')
  command_line.run(main)
