"""Evaluates a trained model on its test set: `python -m ocrgan_jax.evaluate --workdir=…`."""

import csv
import functools
import io
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from ocrgan_jax import command_line, figures, runs
from ocrgan_jax.data import prepare_dataset
from ocrgan_jax.data.builder import Prepared, Split
from ocrgan_jax.data.examples import ANOMALOUS, NORMAL, UNLABELLED
from ocrgan_jax.data.pipeline import Images, load_images
from ocrgan_jax.errors import InputError
from ocrgan_jax.metrics import image_metrics, per_defect_type, rates, trivial_aurocs
from ocrgan_jax.networks import frequency_decoupling
from ocrgan_jax.scorer import Scorer, load
from ocrgan_jax.scoring import Calibration, scale
from ocrgan_jax.step import explain_step, to_float
from ocrgan_jax.writer import read_lines, write_json, write_text

SHEET_ROWS = 8


def evaluate(
  workdir: str | Path, *, protocol: str = 'last', data_dir: str = '', test_dir: str = ''
) -> dict[str, Any]:
  """Scores the test set and writes `metrics.json`, `scores.csv` and pictures.

  Args:
    workdir: the run's folder.
    protocol: which checkpoint: 'last', the headline, or 'validation', the best by
      held-out normal images against their forged copies.
    data_dir: where the dataset lies, if not where it was in training.
    test_dir: where the test images of the dataset `folder` lie, if elsewhere.

  Returns:
    What `metrics.json` holds.

  Raises:
    InputError: if the run, its data or the protocol cannot be used.
  """
  workdir, scorer = Path(workdir), load(workdir, protocol=protocol)
  config = scorer.config
  config.data.test_dir = test_dir or config.data.test_dir
  dataset = prepare_dataset(data_dir or config.data_dir, config.data)
  test = dataset.test
  if not test.names:
    raise InputError('the dataset has no test images to evaluate; give some with --test_dir')
  num_leaked = check_leaks(runs.training_set(workdir), dataset)
  images = load_images(
    test,
    config.image_size,
    memory_gib=config.data.memory_gib,
    description='decoding test images',
  )
  scores, trivial = [], []
  for batch, of_batch in scorer.batches(images):
    values = jax.device_get(trivial_scores(batch))
    scores.append(of_batch)
    trivial.append({name: column[: len(of_batch)] for name, column in values.items()})
  raw = np.concatenate(scores)
  trivial_values = {name: np.concatenate([t[name] for t in trivial]) for name in trivial[0]}

  metrics = summarize(test, raw, trivial_values, scorer.calibration)
  metrics['num_test_images_trained_on'] = num_leaked
  metrics |= {'protocol': protocol, 'step': int(scorer.state.step), 'seed': config.seed}
  write_json(workdir / 'metrics.json', metrics)
  write_text(workdir / 'scores.csv', scores_table(test, raw, scorer.calibration))
  _draw(workdir, scorer, images, test, raw, metrics)
  return metrics


def check_leaks(trained_on: list[str], dataset: Prepared) -> int:
  """Counts the test images that the model was trained on, by content.

  Args:
    trained_on: digests of the run's training images.
    dataset: as it is now.

  Returns:
    Their number: those that a dataset has on both sides of itself, which is only
    said.

  Raises:
    InputError: if there are any because the dataset was split anew since training.
  """
  known = set(trained_on)
  leaked = [
    name
    for name, digest in zip(dataset.test.names, dataset.test.digests, strict=True)
    if digest in known
  ]
  if leaked and trained_on != dataset.train.digests:
    raise InputError(
      f'{len(leaked)} test images, {leaked[0]} the first, are among those that the model was '
      'trained on: the dataset has changed since; restore it, or train anew'
    )
  if leaked:
    print(
      f'warning: {len(leaked)} test images, {leaked[0]} the first, are also in training',
      file=sys.stderr,
    )
  return len(leaked)


@jax.jit
def trivial_scores(images: jax.Array) -> dict[str, jax.Array]:
  """Scores that anybody could take without training, in the space of the network.

  Args:
    images: uint8 [batch, size, size, 3].

  Returns:
    float32 [batch] each: the mean brightness, the mean energy (square) of the
    image in [-1, 1], and the largest absolute value of the higher of two bands.
  """
  x = to_float(images)
  return {
    'mean_brightness': x.mean((1, 2, 3)),
    'mean_energy': jnp.square(x).mean((1, 2, 3)),
    'largest_high_frequency': jnp.abs(frequency_decoupling(x, 2)[1]).max((1, 2, 3)),
  }


def summarize(
  test: Split,
  scores: np.ndarray,
  trivial: dict[str, np.ndarray],
  calibration: Calibration,
) -> dict[str, Any]:
  """The numbers of `metrics.json`.

  Args:
    test: the test set.
    scores: raw scores, [images].
    trivial: name → trivial scores, [images].
    calibration: of the scores.

  Returns:
    `image_auroc` (0 to 1, null where a class is missing) and the other metrics of
    `metrics.image_metrics`, the numbers of images, `trivial` (name → AUROC in its
    better direction), `trivial_direction` (name → 'high' or 'low', the side that
    counts as anomalous), the threshold saved with the model and the `rates` at it,
    and `defect_types`, each alone. Unlabelled images are counted and left out.
  """
  labels = test.labels
  known = labels != UNLABELLED
  table = trivial_aurocs(labels[known], {name: values[known] for name, values in trivial.items()})
  return {
    **image_metrics(labels[known], scores[known]),
    'num_normal': int((labels == NORMAL).sum()),
    'num_anomalous': int((labels == ANOMALOUS).sum()),
    'num_unlabelled': int((~known).sum()),
    'trivial': {name: row['auroc'] for name, row in table.items()},
    'trivial_direction': {name: row['anomalous'] for name, row in table.items()},
    'threshold': calibration.threshold,
    **rates(labels, scores, calibration.threshold),
    'defect_types': per_defect_type(labels, test.defect_types, scores, calibration.threshold),
    'num_held_out': calibration.num_images,
  }


def scores_table(test: Split, scores: np.ndarray, calibration: Calibration) -> str:
  """The text of `scores.csv`: path, label (1 anomalous, empty if unknown), raw and scaled score."""
  file = io.StringIO()
  writer = csv.writer(file, lineterminator='\n')
  writer.writerow(['path', 'label', 'score', 'scaled_score'])
  scaled = scale(scores, calibration)
  for name, label, raw, value in zip(test.names, test.labels, scores, scaled, strict=True):
    known = '' if label == UNLABELLED else label
    writer.writerow([name, known, f'{raw:.8g}', f'{value:.6g}'])
  return file.getvalue()


def _draw(
  workdir: Path,
  scorer: Scorer,
  images: Images,
  test: Split,
  scores: np.ndarray,
  metrics: dict[str, Any],
) -> None:
  auroc = metrics['image_auroc']
  title = 'scores of the test set' + ('' if auroc is None else f', AUROC {auroc:.3f}')
  folder, scaled = workdir / 'figures', scorer.scale(scores)
  figures.histogram(folder / 'histogram.png', test.labels, scaled, scorer.calibration, title)
  figures.loss_curves(folder / 'losses.png', read_lines(workdir / 'metrics.jsonl'))

  chosen = choose_rows(test.labels, scores)
  views = jax.jit(functools.partial(explain_step, model=scorer.model))(scorer.state, images[chosen])
  views = jax.tree.map(np.asarray, views)
  columns = {'input': views['input']}
  for number, band in zip(scorer.model.bands, views['bands'], strict=True):
    columns[f'band {number + 1}'] = band
  columns['reconstruction'] = views['reconstruction']
  columns['difference'] = np.abs(views['input'] - views['reconstruction']).mean(-1)
  rows = [f'{test.defect_types[i]}\nscore {scaled[i]:.2f}' for i in chosen]
  figures.sheet(folder / 'sheet.png', rows, columns)


def choose_rows(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
  """The images worth a look, by index: of either class the highest and the lowest scores.

  Args:
    labels: int [images].
    scores: float [images].

  Returns:
    Indices of up to SHEET_ROWS images, the highest score first within a class,
    anomalous ones first.
  """
  rows: list[int] = []
  for label in (ANOMALOUS, NORMAL, UNLABELLED):
    order = [i for i in np.argsort(-scores, kind='stable') if labels[i] == label]
    half = SHEET_ROWS // 4
    rows += order if len(order) <= 2 * half else order[:half] + order[-half:]
  return np.array(rows)


def report(metrics: dict[str, Any], workdir: Path) -> str:
  """What the command prints."""
  number = lambda x: 'none' if x is None else f'{x:.3f}'
  lines = [
    f'test set: {metrics["num_normal"]} normal, {metrics["num_anomalous"]} anomalous, '
    f'{metrics["num_unlabelled"]} unlabelled images',
    f'checkpoint: {metrics["protocol"]}, step {metrics["step"]}',
  ]
  if metrics['image_auroc'] is None:
    lines.append('image AUROC: none, for the test set lacks a labelled class')
  else:
    low, high = metrics['image_auroc_interval']
    lines.append(
      f'image AUROC: {metrics["image_auroc"]:.3f}  (95 % interval of a test set of this size: '
      f'{low:.3f} to {high:.3f})'
    )
    lines.append(
      f'average precision: {metrics["image_ap"]:.3f}, best F1: {metrics["image_f1_max"]:.3f} '
      f'(at {metrics["image_f1_threshold"]:.4g}, chosen on these images)'
    )
    lines.append('AUROC of trivial scores on the same images, in their better direction:')
    for name, auroc in metrics['trivial'].items():
      direction = metrics['trivial_direction'][name]
      lines.append(f'  {name.replace("_", " "):24} {auroc:.3f}  (anomalous if {direction})')
  lines.append(
    f'above the default threshold: {number(metrics["recall"])} of the anomalous, '
    f'{number(metrics["false_alarm_rate"])} of the normal images'
  )
  lines += [
    f'  {name:24} {row["num"]:4} images, AUROC {number(row["image_auroc"])}, '
    f'{number(row["recall"])} above the threshold'
    for name, row in metrics['defect_types'].items()
  ]
  lines.append(f'pictures: {workdir / "figures"}')
  return '\n'.join(lines)


def main() -> None:
  """Runs the command."""
  workdir = Path(flags.FLAGS.workdir)
  values = flags.FLAGS
  metrics = evaluate(
    workdir, protocol=values.protocol, data_dir=values.data_dir, test_dir=values.test_dir
  )
  print(report(metrics, workdir))
  sys.stdout.flush()


if __name__ == '__main__':
  flags.DEFINE_string('workdir', None, 'folder of the run')
  flags.DEFINE_string('protocol', 'last', "checkpoint: 'last' or 'validation'")
  flags.DEFINE_string('data_dir', '', 'where the dataset lies, if not where it was in training')
  flags.DEFINE_string('test_dir', '', 'test images of the dataset `folder`, if elsewhere')
  flags.mark_flag_as_required('workdir')
  command_line.run(main)
