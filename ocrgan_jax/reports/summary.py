"""The results of an evaluation: `metrics.json`, `scores.csv`, and the printed summary."""

import csv
import io
from typing import Any

import numpy as np

from ocrgan_jax.data.builder import Split
from ocrgan_jax.data.examples import ANOMALOUS, NORMAL, UNLABELLED, no_sound_folder
from ocrgan_jax.reports.scored_test_set import ScoredTestSet
from ocrgan_jax.reports.trivial import trivial_aurocs
from ocrgan_jax.reports.twins import twin_lines
from ocrgan_jax.scoring.calibration import Calibration, false_alarm_rates, scale
from ocrgan_jax.scoring.metrics import image_metrics, per_defect_type, pixel_metrics, rates


def summarize(tested: ScoredTestSet, calibration: Calibration) -> dict[str, Any]:
  """Computes the results for `metrics.json`.

  Args:
    tested: the test set with its scores.
    calibration: of the scores.

  Returns:
    `image_auroc` (0 to 1, null if a class is missing) and the other `metrics.image_metrics`; the
    numbers of images; `trivial` (name → AUROC in the better direction) and `trivial_direction`
    (name → 'high' or 'low', the anomalous side); `threshold`, the model's, as a scaled score;
    `false_alarms_expected`, the range that held-out images predict for it; `metrics.rates` at it;
    `defect_types`, each alone; `metrics.pixel_metrics` and the number of masks. Unlabelled images
    are counted but not used.
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
    'num_held_out_groups': calibration.num_groups or calibration.num_images,
    **pixel_metrics(tested.maps, np.array([tested.masks[i] for i in with_mask], bool)),
    'num_masks': int((labels[with_mask] == ANOMALOUS).sum()),
  }


def scores_table(test: Split, scores: np.ndarray, calibration: Calibration) -> str:
  """Formats `scores.csv`: path, label (1 if anomalous, empty if unknown) and scaled score."""
  file = io.StringIO()
  writer = csv.writer(file, lineterminator='\n')
  writer.writerow(['path', 'label', 'score'])
  scaled = scale(scores.astype(np.float64), calibration)
  for name, label, score in zip(test.names, test.labels, scaled, strict=True):
    known = '' if label == UNLABELLED else label
    writer.writerow([name, known, f'{score:.8g}'])
  return file.getvalue()


def summary_text(metrics: dict[str, Any]) -> str:
  """Formats the summary of `metrics.json` that the command prints."""
  kinds = metrics['defect_types']
  lines = [
    f'test set: {metrics["num_normal"]} normal, {metrics["num_anomalous"]} anomalous, '
    f'{metrics["num_unlabelled"]} unlabelled images',
    f'checkpoint: {metrics["protocol"]}, step {metrics["step"]}',
    *([metrics['oracle_note']] if 'oracle_note' in metrics else []),
  ]
  if metrics['image_auroc'] is None:
    lines.append(
      'image AUROC: undefined, because the test set lacks a labelled class'
      + (f': {no_sound_folder(kinds)}' if kinds and not metrics['num_normal'] else '')
    )
  else:
    low, high = metrics['image_auroc_interval']
    lines += [
      f'image AUROC: {metrics["image_auroc"]:.3f}  (95 % interval for a test set of this size: '
      f'{low:.3f} to {high:.3f})',
      *twin_lines(metrics),
      f'average precision: {metrics["image_ap"]:.3f}, best F1: {metrics["image_f1_max"]:.3f} '
      f'(at threshold {metrics["image_f1_threshold"]:.4g}, selected on these images)',
      *trivial_lines(metrics),
    ]
  if metrics['num_masks']:
    lines.append(
      f'pixels ({metrics["num_masks"]} masks): AUROC {_number(metrics["pixel_auroc"])}, average '
      f'precision {_number(metrics["pixel_ap"])}, AUPRO {_number(metrics["aupro"])}'
    )
  lines.append(
    f'above the threshold of {metrics["threshold"]:.3f}: {_number(metrics["recall"])} of the '
    f'anomalous and {_number(metrics["false_alarm_rate"])} of the normal images'
  )
  if metrics['false_alarms_expected']:
    low, high = metrics['false_alarms_expected']
    groups = metrics['num_held_out_groups']
    in_groups = f' in {groups} groups' if groups < metrics['num_held_out'] else ''
    lines.append(
      f'  expect {low:.3f} to {high:.3f} of all sound products above it (95 % interval from '
      f'{metrics["num_held_out"]} held-out images{in_groups})'
    )
  lines += [
    f'  {name:24} {row["num"]:4} images, AUROC {_number(row["image_auroc"])}, '
    f'{_number(row["recall"])} above the threshold'
    for name, row in metrics['defect_types'].items()
  ]
  return '\n'.join(lines)


def trivial_lines(metrics: dict[str, Any]) -> list[str]:
  """Formats the part of `summary_text` on trivial scores."""
  return [
    'AUROC of trivial scores on the same images, each in its better direction:',
    *(
      f'  {name.replace("_", " "):24} {auroc:.3f}  '
      f'(anomalous if {metrics["trivial_direction"][name]})'
      for name, auroc in metrics['trivial'].items()
    ),
  ]


def _number(value: float | None) -> str:
  return 'none' if value is None else f'{value:.3f}'
