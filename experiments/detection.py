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
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from absl import flags
from scipy.stats import betabinom

from experiments import configs
from experiments.configs import SETS
from experiments.runner import append, load_tested
from ocrgan_jax.core import command_line
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import write_text
from ocrgan_jax.data.builder import Prepared
from ocrgan_jax.data.examples import ANOMALOUS, NORMAL
from ocrgan_jax.data.images import Images
from ocrgan_jax.heads.tails import combine
from ocrgan_jax.inference.scorer import Scorer
from ocrgan_jax.reports.evaluation import evaluate
from ocrgan_jax.reports.trivial import BANDS, NEAREST
from ocrgan_jax.reports.twins import without_twins
from ocrgan_jax.scoring.calibration import CONFIDENCE, Calibration
from ocrgan_jax.scoring.metrics import image_auroc
from ocrgan_jax.training.log import read_lines
from ocrgan_jax.training.train import train

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
  workdir = Path(values.workdir)
  for given, known in ((values.sets, SETS), (values.recipes, RECIPES)):
    if unknown := [name for name in given if name not in known]:
      raise InputError(f'there is no {unknown[0]!r}; there are {", ".join(known)}')
  failed = 0
  seeds = command_line.parse_ints('seeds', values.seeds)
  for seed in seeds:
    for recipe in values.recipes:
      for name in values.sets:
        try:
          run(workdir, values.data_dir, name, recipe, values.image_size, seed)
        except InputError as error:
          failed += 1
          print(f'failed: {name}, {recipe}, seed {seed}: {error}', file=sys.stderr)
  lines = [x for x in read_lines(workdir / 'results.jsonl') if x['image_size'] == values.image_size]
  text = '\n'.join(table(lines, values.sets) for table in (means, by_heads, by_seed))
  write_text(workdir / 'table.md', text)
  print(text)
  return int(failed > 0)


def run(workdir: Path, data_dir: str, name: str, recipe: str, size: int, seed: int) -> None:
  """Trains and evaluates one recipe on one set, unless its line of results is there already.

  Args:
    workdir: folder of all runs.
    data_dir: folder that contains the datasets' folders.
    name: a key of SETS.
    recipe: one of RECIPES.
    size: side of the images in pixels; 0 to choose it by the photographs.
    seed: seed of the run.
  """
  results = workdir / 'results.jsonl'
  key = {'set': name, 'recipe': recipe, 'image_size': size, 'seed': seed}
  if any(key.items() <= line.items() for line in read_lines(results)):
    return
  print(f'{name}, {recipe}, {size} pixels, seed {seed}', file=sys.stderr)
  folder = workdir / '-'.join([name, str(size), str(seed), recipe])
  begun = time.monotonic()
  train(config_of(data_dir, name, recipe, size, seed), folder)
  minutes = (time.monotonic() - begun) / 60
  metrics = evaluate(folder, pictures=False)
  row: dict[str, Any] = {
    **key,
    **{name: metrics.get(name) for name in KEPT},
    'minutes': round(minutes, 2),
  }
  trivial = {k: v for k, v in metrics['trivial'].items() if k not in (BANDS, NEAREST)}
  row['trivial'] = max(trivial.items(), key=lambda item: item[1])
  scorer, dataset, images = load_tested(folder)
  row['asked'] = round(1 - scorer.config.score.threshold_quantile, 6)
  row['expected'] = expected_alarms(scorer.calibration, row['num_normal'])
  scores = scorer.score(images)  # compiles
  begun = time.monotonic()
  scorer.score(images)
  row['images_per_second'] = round(len(images) / (time.monotonic() - begun), 1)
  row['recall_at_1_percent'] = recall_at(scores, dataset.test.labels, 0.01)
  if scorer.model.score.heads_on:
    row['heads'] = subsets_of_heads(scorer, images, dataset)
  jax.clear_caches()  # each recipe has its own program
  append(results, row)


def recall_at(scores: np.ndarray, labels: np.ndarray, rate: float) -> float:
  """The share of anomalous images above the lowest threshold with at most `rate` false alarms."""
  normal = np.sort(scores[labels == NORMAL])[::-1]
  return float((scores[labels == ANOMALOUS] > normal[int(rate * len(normal))]).mean())


def subsets_of_heads(scorer: Scorer, images: Images, dataset: Prepared) -> dict[str, float | None]:
  """The AUROC of each subset of the heads, on the images that the headline is about.

  Heads are fitted apart from each other, so leaving some out needs no other fit.

  Args:
    scorer: of the run.
    images: of the test set.
    dataset: of the run.

  Returns:
    Names joined by commas → AUROC.
  """
  said = np.concatenate([values['heads'] for _, values in scorer.batches(images, ('heads',))])
  labels, names = dataset.test.labels, scorer.model.score.heads_on
  known = np.isin(dataset.test.groups, dataset.train.groups)
  metrics = without_twins(dataset.test, known, said.max(1))
  judged = ~known if metrics['headline'] != 'image_auroc' else np.ones(len(labels), bool)
  found = {}
  for count in range(1, len(names) + 1):
    for chosen in itertools.combinations(range(len(names)), count):
      scores = np.asarray(combine(jnp.asarray(said[:, chosen]), axis=1))
      key = ','.join(names[i] for i in chosen)
      found[key] = image_auroc(labels[judged], scores[judged])
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


def config_of(
  data_dir: str, name: str, recipe: str, size: int, seed: int
) -> ml_collections.ConfigDict:
  """The config of one run; arguments as in `run`."""
  file, category, folder = SETS[name]
  fields = {
    'data_dir': str(Path(data_dir, folder)) if folder else '',
    'image_size': size,
    'seed': seed,
  }
  return configs.config_of(file, category, recipe, fields)


def means(lines: Sequence[dict[str, Any]], sets: Sequence[str]) -> str:
  """A table of the recipes: the headline AUROC on each set, its mean over seeds.

  Args:
    lines: lines of `results.jsonl`, of one size of images.
    sets: the columns.

  Returns:
    The text, with '–' where nothing was run, and with the mean over the sets if all were.
  """
  text = ['| | ' + ' | '.join(sets) + ' | mean |', '|---' * (len(sets) + 2) + '|']
  for recipe in RECIPES:
    found = {}
    for name in sets:
      rows = [x for x in lines if (x['recipe'], x['set']) == (recipe, name)]
      if rows:
        found[name] = float(np.mean([row[row['headline']] for row in rows]))
    if found:
      mean = float(np.mean([*found.values()])) if len(found) == len(sets) else None
      cells = ['–' if x is None else f'{x:.3f}' for x in (*map(found.get, sets), mean)]
      text.append(f'| {recipe} | ' + ' | '.join(cells) + ' |')
  trivial = {x['set']: x['trivial'] for x in lines}
  cells = [f'{trivial[name][1]:.3f}' if name in trivial else '–' for name in sets]
  return '\n'.join([*text, '| best trivial score | ' + ' | '.join(cells) + ' | |']) + '\n'


def by_heads(lines: Sequence[dict[str, Any]], sets: Sequence[str]) -> str:
  """A table of the heads: each left out, each alone, and the choice of heads for a set unseen.

  Args:
    lines: lines of `results.jsonl`, of one size of images.
    sets: the columns.

  Returns:
    The text; '' unless there are lines with heads for all sets. In its last row the subset of
    heads for each set is the one with the best mean over all other sets.
  """
  first = {x['set']: x['heads'] for x in reversed(lines) if 'heads' in x}
  if len(sets) < 2 or any(name not in first for name in sets):
    return ''
  subsets = [*first[sets[0]]]
  table = np.array([[first[name][subset] for name in sets] for subset in subsets])
  names = max(subsets, key=len).split(',')
  rows = {'all heads': table[-1]}
  for name in names:
    rest = ','.join(x for x in names if x != name)
    rows[f'without {name}'] = table[subsets.index(rest)]
  rows |= {f'{name} alone': table[subsets.index(name)] for name in names}
  left_out = [np.delete(table, i, axis=1).mean(1).argmax() for i in range(len(sets))]
  rows['chosen on the other sets'] = table[left_out, range(len(sets))]
  text = ['| heads | ' + ' | '.join(sets) + ' | mean |', '|---' * (len(sets) + 2) + '|']
  for label, row in rows.items():
    text.append(f'| {label} | ' + ' | '.join(f'{x:.3f}' for x in (*row, row.mean())) + ' |')
  chosen = '; '.join(f'{n}: {subsets[i]}' for n, i in zip(sets, left_out, strict=True))
  return '\n'.join([*text, '', f'Chosen on the other sets: {chosen}.', ''])


def by_seed(lines: Sequence[dict[str, Any]], sets: Sequence[str]) -> str:
  """A table of the runs: the AUROC of each seed, recall, and false alarms asked, told and found.

  Args:
    lines: lines of `results.jsonl`, of one size of images.
    sets: the sets to show.

  Returns:
    The text, with the number of runs whose false alarms were as told.
  """
  text = [
    '| set | recipe | seed | image AUROC (without twins) | AUPRO | recall at the threshold; at 1 % '
    'false alarms | false alarms of sound images: asked, told (95 %), found | groups | min | '
    'images/s |',
    '|---|---|---|---|---|---|---|---|---|---|',
  ]
  cells, held = 0, 0
  shown = lambda value: '–' if value is None else f'{value:.3f}'
  order = lambda x: (sets.index(x['set']), [*RECIPES].index(x['recipe']), x['seed'])
  for row in sorted((x for x in lines if x['set'] in sets), key=order):
    found, (low, high) = round(row['false_alarm_rate'] * row['num_normal']), row['expected']
    cells, held = cells + 1, held + (low <= found <= high)
    twins = row['image_auroc_without_twins']
    text.append(
      f'| {row["set"]} | {row["recipe"]} | {row["seed"]} | {row["image_auroc"]:.3f}'
      + (f' ({twins:.3f})' if twins is not None else '')
      + f' | {shown(row["aupro"])} | {shown(row["recall"])}; {shown(row["recall_at_1_percent"])} | '
      f'{row["asked"]:.0%}, {low} to {high}, {found} of {row["num_normal"]} | '
      f'{row["num_held_out_groups"]} | {row["minutes"]:.1f} | {row["images_per_second"]:.0f} |'
    )
  return '\n'.join([*text, '', f'False alarms as told: {held} of {cells} runs.', ''])


if __name__ == '__main__':
  flags.DEFINE_string('workdir', 'runs/detection', 'folder for the runs and the results')
  flags.DEFINE_string('data_dir', '', "folder that contains the datasets' folders")
  flags.DEFINE_list('sets', list(SETS), f'datasets: {", ".join(SETS)}')
  flags.DEFINE_list('recipes', ['bands'], f'recipes to run: {", ".join(RECIPES)}')
  flags.DEFINE_integer('image_size', 0, 'side of the images; 0: chosen by the photographs')
  flags.DEFINE_list('seeds', ['0'], 'seeds of each recipe')
  command_line.run(main)
