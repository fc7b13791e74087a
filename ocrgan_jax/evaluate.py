"""Evaluates a trained model on its test set: `python -m ocrgan_jax.evaluate --workdir=…`."""

import csv
import functools
import io
import itertools
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from absl import flags
from ml_collections import config_flags
from tqdm import tqdm

from ocrgan_jax import command_line, report, runs
from ocrgan_jax.data import prepare_dataset
from ocrgan_jax.data.builder import Prepared, Split
from ocrgan_jax.data.decoding import decode_mask
from ocrgan_jax.data.examples import ANOMALOUS, NORMAL, UNLABELLED
from ocrgan_jax.data.pipeline import Images, hold_out, load_images
from ocrgan_jax.errors import InputError
from ocrgan_jax.metrics import (
  image_auroc,
  image_metrics,
  per_defect_type,
  pixel_metrics,
  rates,
  trivial_aurocs,
)
from ocrgan_jax.networks import frequency_decoupling
from ocrgan_jax.scorer import Scorer, load_each, with_score
from ocrgan_jax.scoring import Calibration, Score, scale
from ocrgan_jax.step import to_float
from ocrgan_jax.writer import read_lines, write_json, write_text

ORACLE_NOTE = (
  'oracle: the checkpoint was chosen by its AUROC on this very test set, as the release of the '
  'paper does; no number below can be expected of other images'
)


def evaluate(
  workdir: str | Path,
  *,
  protocol: str = 'last',
  data_dir: str = '',
  test_dir: str = '',
  score: dict[str, Any] | None = None,
  output: str | Path = '',
  pictures: bool = True,
) -> dict[str, Any]:
  """Scores the test set and writes `metrics.json`, `scores.csv`, `report.html` and pictures.

  Args:
    workdir: the run's folder.
    protocol: which checkpoint: 'last', the headline; 'validation', the best by
      held-out normal images against their forged copies; or 'oracle', the best on
      the test set of those that were kept.
    data_dir: where the dataset lies, if not where it was in training.
    test_dir: where the test images of the dataset `folder` lie, if elsewhere.
    score: fields of the config's section `score` that shall differ from the run's;
      the scale and the threshold are fitted anew to the held-out images.
    output: where the results go; the run's folder by default, its subfolder
      `validation` or `oracle` for these protocols.
    pictures: whether figures and the report are made.

  Returns:
    What `metrics.json` holds.

  Raises:
    InputError: if the run, its data, the protocol or the score cannot be used.
  """
  workdir = Path(workdir)
  if score and not output:
    raise InputError("--score is not the run's: name a folder for its results with --output")
  folder = output_folder(workdir, protocol, output)
  config = runs.load_config(workdir)
  config.data.test_dir = test_dir or config.data.test_dir
  dataset = prepare_dataset(data_dir or config.data_dir, config.data)
  test = dataset.test
  if not test.names:
    raise InputError('the dataset has no test images to evaluate; give some with --test_dir')
  num_leaked = check_leaks(runs.training_set(workdir), dataset)
  load_split = functools.partial(
    load_images, size=config.image_size, memory_gib=config.data.memory_gib
  )
  images = load_split(test, description='decoding test images')
  scorers = load_each(workdir, protocol)
  if score:
    runs.check_training_set(workdir, dataset.train.digests)
    _, held_out = hold_out(len(dataset.train.names), config.data.validation_share, config.seed)
    normal = load_split(dataset.train, chosen=held_out)
    scorers = (with_score(scorer, score, normal) for scorer in scorers)
  scorer = next(scorers)
  about_oracle: dict[str, Any] = {}
  if protocol == 'oracle':
    scorer, about_oracle = best_on_test_set(itertools.chain([scorer], scorers), images, test)

  masks = load_masks(test, config.image_size) if dataset.report['masks'] else {}
  found = score_test_set(scorer, images, test, masks)
  metrics = {
    'protocol': protocol,
    **about_oracle,
    'step': int(scorer.state.step),
    'seed': config.seed,
    'score': scorer.config.score.to_dict(),
    **summarize(test, found.scores, found.trivial, scorer.calibration),
    **pixel_metrics(found.maps, np.array([masks[i] for i in sorted(masks)], bool)),
    'num_masks': sum(label == ANOMALOUS for label in test.labels[sorted(masks)].tolist()),
    'num_test_images_trained_on': num_leaked,
  }
  write_json(folder / 'metrics.json', metrics)
  write_text(folder / 'scores.csv', scores_table(test, found.scores, scorer.calibration))
  if pictures:
    report.draw(
      folder,
      scorer=scorer,
      images=images,
      test=test,
      masks=masks,
      scores=found.scores,
      features=found.features,
      trivial=found.trivial,
      metrics=metrics,
      log=read_lines(workdir / 'metrics.jsonl'),
    )
  return metrics


def output_folder(workdir: str | Path, protocol: str, output: str | Path = '') -> Path:
  """Where the results of a protocol go unless an output is given."""
  return Path(output or (workdir if protocol == 'last' else Path(workdir) / protocol))


class Found(NamedTuple):
  """What scoring a test set gave, image by image.

  Attributes:
    scores: raw, float32 [images].
    features: D's latent features, float32 [images, 100].
    trivial: name → trivial scores, float32 [images].
    maps: of those with a mask, in their order, float32 [masks, size, size].
  """

  scores: np.ndarray
  features: np.ndarray
  trivial: dict[str, np.ndarray]
  maps: np.ndarray


def score_test_set(
  scorer: Scorer, images: Images, test: Split, masks: dict[int, np.ndarray]
) -> Found:
  """Scores all images once.

  Args:
    scorer: of the checkpoint.
    images: of the test set.
    test: the test set.
    masks: from `load_masks`.

  Returns:
    What was found.
  """
  outputs = ('score', 'features', 'map') if masks else ('score', 'features')
  columns: dict[str, list[np.ndarray]] = defaultdict(list)
  maps, start = [], 0
  with tqdm(None, 'scoring', len(images), unit='image', leave=False) as bar:
    for batch, values in scorer.batches(images, outputs):
      count = len(values['score'])
      for name, column in {**values, **jax.device_get(trivial_scores(batch))}.items():
        if name != 'map':
          columns[name].append(column[:count])
      if masks:
        maps += [values['map'][i] for i in range(count) if start + i in masks]
      start += count
      bar.update(count)
  merged = {name: np.concatenate(parts) for name, parts in columns.items()}
  size = scorer.model.image_size
  return Found(
    scores=merged.pop('score'),
    features=merged.pop('features'),
    trivial=merged,
    maps=np.stack(maps) if maps else np.zeros((0, size, size), np.float32),
  )


def load_masks(test: Split, size: int) -> dict[int, np.ndarray]:
  """The masks of the test images that metrics of pixels can be taken of.

  Args:
    test: the test set.
    size: side in pixels that masks are resized to, see `decoding.decode_mask`.

  Returns:
    index of the image → bool [size, size], all False for normal images. Anomalous
    images without a mask, or whose mask has no pixel left, are left out.
  """
  masks = {}
  for i, label in enumerate(test.labels):
    if label == NORMAL:
      masks[i] = np.zeros((size, size), bool)
    elif label == ANOMALOUS and (content := test.records[i]['mask']):
      mask = decode_mask(content, size)
      if mask.any():
        masks[i] = mask
      else:
        print(
          f'warning: the mask of {test.names[i]} has no defective pixel at {size}x{size}: '
          'it does not count',
          file=sys.stderr,
        )
  return masks


def best_on_test_set(
  scorers: Iterator[Scorer], images: Images, test: Split
) -> tuple[Scorer, dict[str, Any]]:
  """Chooses a checkpoint by the test set: for the protocol `oracle` alone.

  Args:
    scorers: of the checkpoints.
    images: of the test set.
    test: the test set.

  Returns:
    The scorer with the highest AUROC, the later of equals, and what
    `metrics.json` shall say about the choice.

  Raises:
    InputError: if there is no AUROC to choose by.
  """
  known = test.labels != UNLABELLED
  best, aurocs = None, {}
  for scorer in scorers:
    auroc = image_auroc(test.labels[known], scorer.score(images)[known])
    if auroc is None:
      raise InputError('the test set lacks a labelled class: there is no AUROC to choose by')
    aurocs[int(scorer.state.step)] = auroc
    if auroc >= max(aurocs.values()):
      best = scorer
  assert best is not None
  note = f'{ORACLE_NOTE} ({len(aurocs)} checkpoints were kept)'
  return best, {'oracle_note': note, 'oracle_aurocs': aurocs}


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


def summary(metrics: dict[str, Any]) -> str:
  """What the command prints."""
  number = lambda x: 'none' if x is None else f'{x:.3f}'
  lines = [
    f'test set: {metrics["num_normal"]} normal, {metrics["num_anomalous"]} anomalous, '
    f'{metrics["num_unlabelled"]} unlabelled images',
    f'checkpoint: {metrics["protocol"]}, step {metrics["step"]}',
    *([metrics['oracle_note']] if 'oracle_note' in metrics else []),
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
  if metrics['num_masks']:
    lines.append(
      f'pixels, by {metrics["num_masks"]} masks: AUROC {number(metrics["pixel_auroc"])}, average '
      f'precision {number(metrics["pixel_ap"])}, AUPRO {number(metrics["aupro"])}'
    )
  lines.append(
    f'above the default threshold: {number(metrics["recall"])} of the anomalous, '
    f'{number(metrics["false_alarm_rate"])} of the normal images'
  )
  lines += [
    f'  {name:24} {row["num"]:4} images, AUROC {number(row["image_auroc"])}, '
    f'{number(row["recall"])} above the threshold'
    for name, row in metrics['defect_types'].items()
  ]
  return '\n'.join(lines)


def main() -> None:
  """Runs the command."""
  values = flags.FLAGS
  metrics = evaluate(
    values.workdir,
    protocol=values.protocol,
    data_dir=values.data_dir,
    test_dir=values.test_dir,
    score=config_flags.get_override_values(values['score']),
    output=values.output,
    pictures=values.pictures,
  )
  print(summary(metrics))
  folder = output_folder(values.workdir, values.protocol, values.output)
  print(f'results: {folder / ("report.html" if values.pictures else "metrics.json")}')
  sys.stdout.flush()


if __name__ == '__main__':
  flags.DEFINE_string('workdir', None, 'folder of the run')
  flags.DEFINE_string('protocol', 'last', "checkpoint: 'last', 'validation' or 'oracle'")
  flags.DEFINE_string('data_dir', '', 'where the dataset lies, if not where it was in training')
  flags.DEFINE_string('test_dir', '', 'test images of the dataset `folder`, if elsewhere')
  flags.DEFINE_string('output', '', "folder of the results, if not the run's")
  flags.DEFINE_bool('pictures', True, 'draw the figures and the report')
  score = ml_collections.ConfigDict(Score()._asdict())
  config_flags.DEFINE_config_dict('score', score, 'fields of score to change', lock_config=True)
  flags.mark_flag_as_required('workdir')
  command_line.run(main)
