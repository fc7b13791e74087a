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
    `false_alarms_expected`, the range predicted for it; `metrics.rates` at it; `defect_types`,
    each alone; the numbers of images and groups that set the threshold; `metrics.pixel_metrics`
    and the number of masks. Unlabelled images are counted but not used.
  """
  labels, threshold = tested.split.labels, calibration.limit
  scores = scale(tested.scores.astype(np.float64), calibration)
  known = labels != UNLABELLED
  trivial = trivial_aurocs(labels[known], {n: x[known] for n, x in tested.trivial.items()})
  with_mask = sorted(tested.masks)
  predicted = false_alarm_rates(calibration)
  return {
    **image_metrics(labels[known], scores[known]),
    'num_normal': int((labels == NORMAL).sum()),
    'num_anomalous': int((labels == ANOMALOUS).sum()),
    'num_unlabelled': int((~known).sum()),
    'trivial': {name: auroc for name, (auroc, _) in trivial.items()},
    'trivial_direction': {name: direction for name, (_, direction) in trivial.items()},
    'threshold': threshold,
    'false_alarms_expected': list(predicted),
    **rates(labels, scores, threshold),
    'defect_types': per_defect_type(labels, tested.split.defect_types, scores, threshold),
    'num_held_out': calibration.num_images,
    'num_held_out_groups': calibration.num_groups,
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
    writer.writerow([name, '' if label == UNLABELLED else label, f'{score:.8g}'])
  return file.getvalue()


def summary_text(metrics: dict[str, Any]) -> str:
  """Formats the summary of `metrics.json` that the command prints."""
  lines = [f'test set: {size_of_test_set(metrics)}']
  if metrics['step']:  # else no network was trained
    lines.append(f'checkpoint: {metrics["protocol"]}, step {metrics["step"]}')
  if 'oracle_note' in metrics:
    lines.append(metrics['oracle_note'])
  lines += _auroc_lines(metrics)
  if metrics['num_masks']:
    lines.append(
      f'pixels ({metrics["num_masks"]} masks): AUROC {_number(metrics["pixel_auroc"])}, average '
      f'precision {_number(metrics["pixel_ap"])}, AUPRO {_number(metrics["aupro"])}'
    )
  return '\n'.join([*lines, *_threshold_lines(metrics)])


def size_of_test_set(metrics: dict[str, Any]) -> str:
  """The size of a test set: '20 sound and 63 anomalous images'."""
  counts = f'{metrics["num_normal"]} sound and {metrics["num_anomalous"]} anomalous images'
  unlabelled = metrics['num_unlabelled']
  return counts + (f', {unlabelled} without a label' if unlabelled else '')


def predicted_alarms(metrics: dict[str, Any]) -> str:
  """The false alarms that the model's own threshold will give; '' if they are unknown."""
  if not metrics['false_alarms_expected']:
    return ''
  low, high = metrics['false_alarms_expected']
  count, groups = metrics['num_held_out'], metrics['num_held_out_groups']
  source = f'{count} sound photographs' + (f' of {groups} parts' if groups < count else '')
  return f'{low:.3f} to {high:.3f} of all sound products (95 % interval from {source})'


def _auroc_lines(metrics: dict[str, Any]) -> list[str]:
  if metrics['image_auroc'] is None:
    kinds = metrics['defect_types']
    why = f': {no_sound_folder(kinds)}' if kinds and not metrics['num_normal'] else ''
    return [f'image AUROC: undefined, because the test set lacks a labelled class{why}']
  low, high = metrics['image_auroc_interval']
  lines = [
    f'image AUROC: {metrics["image_auroc"]:.3f}  (95 % interval for a test set of this size: '
    f'{low:.3f} to {high:.3f})',
    *twin_lines(metrics),
    f'average precision: {metrics["image_ap"]:.3f}, best F1: {metrics["image_f1_max"]:.3f} '
    f'(at threshold {metrics["image_f1_threshold"]:.4g}, selected on these images)',
    'AUROC of trivial scores on the same images, each in its better direction:',
  ]
  for name, auroc in metrics['trivial'].items():
    direction = metrics['trivial_direction'][name]
    lines.append(f'  {name.replace("_", " "):24} {auroc:.3f}  (anomalous if {direction})')
  if 'image_auroc_bands' in metrics:
    lines.append(
      f'AUROC of the recipe `bands` on the same images: {metrics["image_auroc_bands"]:.3f}'
    )
  return lines


def _threshold_lines(metrics: dict[str, Any]) -> list[str]:
  lines = [
    f'above the threshold of {metrics["threshold"]:.3f}: {_number(metrics["recall"])} of the '
    f'anomalous and {_number(metrics["false_alarm_rate"])} of the sound images'
  ]
  if predicted := predicted_alarms(metrics):
    lines.append(f'  predicted false alarms: {predicted}')
  for name, row in metrics['defect_types'].items():
    lines.append(
      f'  {name:24} {row["num"]:4} images, AUROC {_number(row["image_auroc"])}, '
      f'{_number(row["recall"])} above the threshold'
    )
  return lines


def _number(value: float | None) -> str:
  return 'none' if value is None else f'{value:.3f}'
