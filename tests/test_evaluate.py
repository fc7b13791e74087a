import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocrgan_jax.errors import InputError
from ocrgan_jax.evaluate import choose_rows, evaluate, report
from ocrgan_jax.metrics import image_auroc


def test_writes_metrics_scores_and_pictures(trained: Path) -> None:
  metrics = evaluate(trained)
  assert metrics == json.loads((trained / 'metrics.json').read_text())
  assert metrics['protocol'] == 'last'
  assert (metrics['num_normal'], metrics['num_anomalous']) == (5, 6)
  assert 0 <= metrics['image_auroc'] <= 1
  assert set(metrics['trivial']) == {'mean_brightness', 'mean_energy', 'largest_high_frequency'}
  assert all(0.5 <= auroc <= 1 for auroc in metrics['trivial'].values())
  # White bars on smooth images: the high band alone tells them apart.
  assert metrics['trivial']['largest_high_frequency'] == 1
  assert metrics['trivial_direction']['largest_high_frequency'] == 'high'

  with (trained / 'scores.csv').open() as file:
    rows = list(csv.DictReader(file))
  labels = np.array([int(row['label']) for row in rows])
  scores = np.array([float(row['score']) for row in rows])
  assert rows[0]['path'] == 'test/good/000.png'
  assert image_auroc(labels, scores) == pytest.approx(metrics['image_auroc'])
  scaled = [float(row['scaled_score']) for row in rows]
  np.testing.assert_array_equal(
    np.argsort(scaled, kind='stable'), np.argsort(scores, kind='stable')
  )
  for name in ('histogram', 'sheet', 'losses'):
    with Image.open(trained / f'figures/{name}.png') as picture:
      assert picture.width > 200 and len(picture.convert('RGB').getcolors(2**24)) > 10
  text = report(metrics, trained)
  assert 'anomalous if high' in text and f'{metrics["image_auroc"]:.3f}' in text


def test_scores_do_not_depend_on_the_other_images(
  trained: Path, mvtec_folder: Path, tmp_path: Path
) -> None:
  evaluate(trained)
  everything = {r.split(',')[0]: r for r in (trained / 'scores.csv').read_text().splitlines()}
  shutil.copytree(mvtec_folder, tmp_path / 'data')
  shutil.rmtree(tmp_path / 'data/tile/test/good')
  metrics = evaluate(trained, data_dir=str(tmp_path / 'data'))
  assert metrics['image_auroc'] is None and metrics['num_normal'] == 0  # one class: no AUROC
  assert 'lacks a labelled class' in report(metrics, trained)
  rows = (trained / 'scores.csv').read_text().splitlines()
  assert len(rows) == 7
  for row in rows[1:]:
    path, _, score, _ = row.split(',')
    assert float(score) == pytest.approx(float(everything[path].split(',')[2]), rel=1e-5)


def test_unknown_protocols_and_folders_are_named(trained: Path, tmp_path: Path) -> None:
  with pytest.raises(InputError, match='last, validation'):
    evaluate(trained, protocol='best')
  with pytest.raises(InputError, match='no run in'):
    evaluate(tmp_path)


def test_the_sheet_shows_both_ends_of_both_classes() -> None:
  labels, scores = np.array([0] * 10 + [1] * 3), np.arange(13.0)
  assert choose_rows(labels, scores).tolist() == [12, 11, 10, 9, 8, 1, 0]
