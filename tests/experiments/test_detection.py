import shutil
from pathlib import Path

import numpy as np
import pytest

from experiments import detection, rows
from ocrgan_jax.scoring.calibration import Calibration


def test_heads_are_chosen_on_the_other_sets() -> None:
  def line(name: str, energy: float, dark: float, both: float) -> dict:
    return {'set': name, 'heads': {'energy': energy, 'dark': dark, 'energy,dark': both}}

  lines = [line('a', 0.9, 0.5, 0.8), line('b', 0.9, 0.6, 0.8), line('c', 0.2, 0.9, 0.8)]
  table = detection.by_heads(lines, ['a', 'b', 'c']).splitlines()
  assert '| without dark | 0.900 | 0.900 | 0.200 | 0.667 |' in table
  # On b and c together both heads are best, on a and b energy alone, which fails on c.
  assert '| chosen on the other sets | 0.800 | 0.800 | 0.200 | 0.600 |' in table
  assert detection.by_heads(lines[:2], ['a', 'b', 'c']) == ''


@pytest.mark.slow
def test_finished_runs_are_not_repeated(
  mvtec_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
  shutil.copytree(mvtec_folder / 'tile', tmp_path / 'data/mvtec_ad/bottle')
  for _ in range(2):
    detection.run(tmp_path / 'runs', str(tmp_path / 'data'), 'bottle', 'bands', 32, 0)
  (row,) = lines = rows.read(tmp_path / 'runs/results.jsonl')
  assert capsys.readouterr().err.count('bottle, bands') == 1
  auroc = f'{row["image_auroc"]:.3f}'
  assert f'| bands | {auroc} | – | – |' in detection.means(lines, ['bottle', 'dagm'])
  assert len(row['heads']) == 63
  low, high = row['expected']
  table = detection.by_seed(lines, ['bottle'])
  assert f'| bottle | bands | 0 | {auroc} |' in table
  assert f'1%, {low} to {high}, ' in table and ' of 1 runs.' in table


def test_false_alarms_are_expected_by_how_many_groups_set_the_threshold() -> None:
  """Draws scores, sets thresholds, and counts how often the alarms are within the interval."""
  rng, held = np.random.default_rng(0), 0
  for _ in range(400):
    scores = np.sort(rng.normal(size=50)).astype(np.float32)
    threshold = float(np.quantile(scores, 0.95))
    known = Calibration(0.0, 1.0, threshold, 50, 1.0, scores, 50)
    low, high = detection.expected_alarms(known, 100)
    held += low <= (rng.normal(size=100) > known.threshold).sum() <= high
  assert 0.93 <= held / 400 <= 0.995


def test_recall_counts_defects_over_the_one_in_a_hundred_sound_ones() -> None:
  labels = np.repeat([0, 1], [100, 4])
  scores = np.concatenate([np.arange(100), [97.5, 98.5, 99.5, 200]])
  assert detection.recall_at(scores, labels, 0.01) == 0.75
  assert detection.recall_at(scores, labels, 0.0) == 0.5
