"""An evaluation in numbers and text: `metrics.json`, `scores.csv`, what the command prints."""

import csv
import io
from typing import Any

import numpy as np

from ocrgan_jax.data.builder import Split
from ocrgan_jax.data.examples import ANOMALOUS, NORMAL, UNLABELLED
from ocrgan_jax.reports.scored_test_set import ScoredTestSet
from ocrgan_jax.reports.trivial import trivial_aurocs
from ocrgan_jax.scoring.calibration import Calibration, false_alarm_rates, scale
from ocrgan_jax.scoring.metrics import image_metrics, per_defect_type, pixel_metrics, rates


def summarize(tested: ScoredTestSet, calibration: Calibration) -> dict[str, Any]:
  """The results in `metrics.json`.

  Args:
    tested: the test set with its scores.
    calibration: of the scores.

  Returns:
    `image_auroc` (0 to 1, null where a class is missing) and the other metrics of
    `metrics.image_metrics`, the numbers of images, `trivial` (name → AUROC in its
    better direction), `trivial_direction` (name → 'high' or 'low', the side that
    counts as anomalous), the threshold saved with the model as a scaled score, the
    `false_alarms_expected` of it (from and to, by the held-out images), the `rates` at it,
    `defect_types`, each alone, and `metrics.pixel_metrics` with the number of masks.
    Unlabelled images are counted and left out.
  """
  labels, threshold = tested.split.labels, calibration.limit
  scores = scale(tested.scores.astype(np.float64), calibration)
  known = labels != UNLABELLED
  trivial = trivial_aurocs(
    labels[known], {n: values[known] for n, values in tested.trivial.items()}
  )
  with_mask = sorted(tested.masks)
  rates_expected = false_alarm_rates(calibration)
  return {
    **image_metrics(labels[known], scores[known]),
    'num_normal': int((labels == NORMAL).sum()),
    'num_anomalous': int((labels == ANOMALOUS).sum()),
    'num_unlabelled': int((~known).sum()),
    'trivial': {name: row['auroc'] for name, row in trivial.items()},
    'trivial_direction': {name: row['anomalous'] for name, row in trivial.items()},
    'threshold': threshold,
    'false_alarms_expected': rates_expected and list(rates_expected),
    **rates(labels, scores, threshold),
    'defect_types': per_defect_type(labels, tested.split.defect_types, scores, threshold),
    'num_held_out': calibration.num_images,
    **pixel_metrics(tested.maps, np.array([tested.masks[i] for i in with_mask], bool)),
    'num_masks': int((labels[with_mask] == ANOMALOUS).sum()),
  }


def scores_table(test: Split, scores: np.ndarray, calibration: Calibration) -> str:
  """The text of `scores.csv`: path, label (1 anomalous, empty if unknown) and scaled score."""
  file = io.StringIO()
  writer = csv.writer(file, lineterminator='\n')
  writer.writerow(['path', 'label', 'score'])
  scaled = scale(scores.astype(np.float64), calibration)
  for name, label, score in zip(test.names, test.labels, scaled, strict=True):
    known = '' if label == UNLABELLED else label
    writer.writerow([name, known, f'{score:.8g}'])
  return file.getvalue()


def summary_text(metrics: dict[str, Any]) -> str:
  """What the command prints of `metrics.json`."""
  lines = [
    f'test set: {metrics["num_normal"]} normal, {metrics["num_anomalous"]} anomalous, '
    f'{metrics["num_unlabelled"]} unlabelled images',
    f'checkpoint: {metrics["protocol"]}, step {metrics["step"]}',
    *([metrics['oracle_note']] if 'oracle_note' in metrics else []),
  ]
  if metrics['image_auroc'] is None:
    lines.append('image AUROC: none, because the test set lacks a labelled class')
  else:
    low, high = metrics['image_auroc_interval']
    lines += [
      f'image AUROC: {metrics["image_auroc"]:.3f}  (95 % interval of a test set of this size: '
      f'{low:.3f} to {high:.3f})',
      f'average precision: {metrics["image_ap"]:.3f}, best F1: {metrics["image_f1_max"]:.3f} '
      f'(at {metrics["image_f1_threshold"]:.4g}, chosen on these images)',
      *trivial_lines(metrics),
    ]
  if metrics['num_masks']:
    lines.append(
      f'pixels, by {metrics["num_masks"]} masks: AUROC {_number(metrics["pixel_auroc"])}, average '
      f'precision {_number(metrics["pixel_ap"])}, AUPRO {_number(metrics["aupro"])}'
    )
  lines.append(
    f'above the threshold, {metrics["threshold"]:.3f}: {_number(metrics["recall"])} of the '
    f'anomalous, {_number(metrics["false_alarm_rate"])} of the normal images'
  )
  if metrics['false_alarms_expected']:
    low, high = metrics['false_alarms_expected']
    lines.append(
      f'  to expect of sound products: {low:.3f} to {high:.3f} (95 %, by {metrics["num_held_out"]} '
      'held-out images)'
    )
  lines += [
    f'  {name:24} {row["num"]:4} images, AUROC {_number(row["image_auroc"])}, '
    f'{_number(row["recall"])} above the threshold'
    for name, row in metrics['defect_types'].items()
  ]
  return '\n'.join(lines)


def trivial_lines(metrics: dict[str, Any]) -> list[str]:
  """The part of `summary_text` on trivial scores."""
  return [
    'AUROC of trivial scores on the same images, in their better direction:',
    *(
      f'  {name.replace("_", " "):24} {auroc:.3f}  '
      f'(anomalous if {metrics["trivial_direction"][name]})'
      for name, auroc in metrics['trivial'].items()
    ),
  ]


def _number(value: float | None) -> str:
  return 'none' if value is None else f'{value:.3f}'
