r"""Compares this project with models of anomalib on the same images.

  python3 -m venv others && others/bin/pip install torch torchvision anomalib
  python -m experiments.compare --dataset=mvtec --category=bottle --data_dir=…/mvtec_ad \
      --python=others/bin/python

Every image is resized once and saved as PNG, and all models train on these files. They run one
after the other, each in its own process, which reports its peak memory. Models of anomalib that
train by gradients get as many minutes as `restore` took; the paper's training gets 60 epochs.
Scoring is timed from files to scores and maps. Nothing is downloaded: anomalib's backbones have
random weights.
"""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from PIL import Image
from tqdm import tqdm

from experiments.benchmark.machine import machine, peak_gib
from experiments.configs import QUICK, config_of
from experiments.runner import append, load_tested
from ocrgan_jax.core import command_line
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import write_text
from ocrgan_jax.data.datasets import prepare_dataset
from ocrgan_jax.data.examples import ANOMALOUS, NORMAL
from ocrgan_jax.data.framing import framing_of
from ocrgan_jax.data.images import load_images
from ocrgan_jax.data.masks import load_masks
from ocrgan_jax.scoring.metrics import image_auroc, pixel_metrics
from ocrgan_jax.training.log import read_lines
from ocrgan_jax.training.train import train

OURS = ('statistics', 'restore', 'paper')
THEIRS = ('PaDiM', 'PatchCore', 'GANomaly', 'DRAEM')
NOTES = {
  'paper': "the paper's training, width 4, 60 epochs",
  'PaDiM': 'anomalib; ResNet-18 with random weights, one pass',
  'PatchCore': 'anomalib; ResNet-18 with random weights, coreset of 0.01, one pass',
  'GANomaly': 'anomalib',
  'DRAEM': 'anomalib; training images instead of the textures it would download',
}
NOT_RUN = (
  'Not run: PaDiM and PatchCore with pretrained backbones, EfficientAD, Dinomaly, WinCLIP and '
  'others that need weights or images to be downloaded.'
)
SCRIPT = Path(__file__).with_name('compare_anomalib.py')
CATEGORY = 'images'
MINUTES = 10.0  # of training by gradients if `restore` failed


def write_tree(config: str, category: str, data_dir: str, size: int, root: Path) -> None:
  """Writes the images of a dataset, resized, in the layout of MVTec AD.

  Args:
    config: config file of the dataset.
    category: category of the dataset.
    data_dir: folder of the dataset.
    size: side of the written images.
    root: folder to write to.
  """
  made = config_of(config, category, 'paper')
  made.image_size = size
  dataset = prepare_dataset(data_dir, made.data)
  for split, side in ((dataset.train, 'train'), (dataset.test, 'test')):
    images = load_images(split, framing_of(made, None), memory_gib=made.data.memory_gib)
    masks = load_masks(split, size) if side == 'test' and dataset.report['masks'] else {}
    for i, label in enumerate(split.labels):
      folder = {NORMAL: 'good', ANOMALOUS: 'defective'}.get(int(label))
      if folder is None:
        continue
      _write(root / side / folder / f'{i:05}.png', images[np.array([i])][0])
      if label == ANOMALOUS and i in masks:
        mask = masks[i].astype(np.uint8) * 255
        _write(root / 'ground_truth' / folder / f'{i:05}_mask.png', mask)


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
    fields |= QUICK
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
  np.savez(output, names=np.array(dataset.test.names), scores=scores, maps=maps)
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
  """Computes image AUROC and AUPRO from the scores and maps in a file."""
  with np.load(output) as found:
    names, scores = found['names'], found['scores']
    maps = found.get('maps')
  truth = output.parent / CATEGORY / 'ground_truth/defective'
  labels = np.array(['/defective/' in name for name in names], int)
  row: dict[str, float | None] = {'image_auroc': image_auroc(labels, scores), 'aupro': None}
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


def markdown(rows: list[dict[str, Any]], title: str) -> str:
  """The table of results, with a title and notes."""
  lines = [
    f'## {title}',
    '',
    '| | image AUROC | AUPRO | training, min | steps | files to maps, images/s | memory, GiB | |',
    '|---|---|---|---|---|---|---|---|',
  ]
  shown = lambda value: '–' if value is None else f'{value:.3f}'
  for row in rows:
    note = NOTES.get(row['name'], '')
    if 'error' in row:
      lines.append(f'| {row["name"]} | – | – | – | – | – | – | {row["error"]}; {note} |')
      continue
    lines.append(
      f'| {row["name"]} | {shown(row["image_auroc"])} | {shown(row["aupro"])} | '
      f'{row["train_minutes"]:.1f} | {row["steps"]} | {row["images_per_second"]:.1f} | '
      f'{row["gib"]:.1f} | {note} |'
    )
  return '\n'.join([*lines, '', NOT_RUN, machine(), ''])


def main() -> int:
  """Runs the command."""
  values = flags.FLAGS
  named = [values.dataset, values.category, values.image_size, values.seed, values.minutes]
  named += ['quick'] if values.quick else []
  workdir = Path(values.workdir, '-'.join(str(x) for x in named if x != '')).absolute()
  if values.run:
    output = workdir / f'{values.run}.npz'
    run_ours(values.run, workdir, values.image_size, values.seed, workdir / values.run, output)
    return 0
  if values.python and not Path(values.python).exists():
    raise InputError(f'--python: there is no {values.python}; --help says how to create it')
  if not (workdir / CATEGORY).exists():
    partial = workdir / f'.{CATEGORY}'
    write_tree(values.dataset, values.category, values.data_dir, values.image_size, partial)
    partial.rename(workdir / CATEGORY)
  results = workdir / 'results.jsonl'
  done = {row['name']: row for row in read_lines(results)}
  minutes = values.minutes
  for name in tqdm([*OURS, *(THEIRS if values.python else ())], 'models'):
    if name in done and 'error' not in done[name]:
      continue
    output = workdir / f'{name}.npz'
    shutil.rmtree(workdir / name, ignore_errors=True)  # of an interrupted run
    if name in OURS:
      command = [sys.executable, '-m', 'experiments.compare', *sys.argv[1:], f'--run={name}']
    else:
      minutes = minutes or done['restore'].get('train_minutes', MINUTES)
      command = [values.python, str(SCRIPT), f'--model={name}', f'--images={workdir / CATEGORY}']
      command += [f'--size={values.image_size}', f'--minutes={minutes}', f'--seed={values.seed}']
      command += [f'--output={output}']
    done[name] = run_model(name, command, output)
    append(results, done[name])
  title = f'{values.dataset} {values.category}, {values.image_size} pixels, seed {values.seed}'
  text = markdown([*done.values()], title)
  write_text(workdir / 'compare.md', text)
  print(text)
  return int(any('error' in row for row in done.values()))


if __name__ == '__main__':
  flags.DEFINE_string('dataset', 'mvtec', 'config file of the dataset')
  flags.DEFINE_string('category', '', 'category of the dataset')
  flags.DEFINE_string('data_dir', None, 'folder of the dataset')
  flags.DEFINE_string('workdir', 'runs/compare', 'folder for the images, models and tables')
  flags.DEFINE_string('python', '', 'Python of an environment that has anomalib; none: skip it')
  flags.DEFINE_integer('image_size', 256, 'side of the images')
  flags.DEFINE_float('minutes', 0.0, 'minutes of gradient training; 0: those of `restore`')
  flags.DEFINE_integer('seed', 0, 'seed of all models')
  flags.DEFINE_bool('quick', False, 'check that it works: tiny models, few steps')
  flags.DEFINE_string('run', '', 'internal: run only this recipe, in this process')
  flags.mark_flag_as_required('data_dir')
  command_line.run(main)
