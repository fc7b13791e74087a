import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.decoding import decode_mask
from ocrgan_jax.data.images import hold_out
from ocrgan_jax.inference.loading import load
from ocrgan_jax.inference.scorer import Scorer
from ocrgan_jax.reports.evaluation import evaluate
from ocrgan_jax.reports.report import FIGURES
from ocrgan_jax.reports.summary import summary_text
from ocrgan_jax.scoring.metrics import image_auroc, pixel_metrics
from tests.conftest import decode_image, run_module

TRIVIAL = {'mean_brightness', 'mean_energy', 'largest_high_frequency'}


def read_scores(folder: Path) -> dict[str, tuple[str, float]]:
  """Path → label and score, in the order of a `scores.csv`."""
  with (folder / 'scores.csv').open() as file:
    return {row['path']: (row['label'], float(row['score'])) for row in csv.DictReader(file)}


def test_writes_metrics_scores_and_figures(trained: Path) -> None:
  metrics = evaluate(trained)
  assert metrics == json.loads((trained / 'metrics.json').read_text())
  assert metrics['protocol'] == 'last'
  assert (metrics['num_normal'], metrics['num_anomalous']) == (5, 6)
  assert metrics['trivial'].keys() == metrics['trivial_direction'].keys() == TRIVIAL
  assert all(0.5 <= auroc <= 1 for auroc in metrics['trivial'].values())
  # White bars on smooth images: the high band alone tells them apart.
  assert metrics['trivial']['largest_high_frequency'] == 1
  assert metrics['trivial_direction']['largest_high_frequency'] == 'high'
  rows = read_scores(trained)
  assert next(iter(rows)) == 'test/good/000.png'
  labels, scores = np.array([*rows.values()], float).T
  assert image_auroc(labels, scores) == pytest.approx(metrics['image_auroc'])
  assert metrics['recall'] == np.mean(scores[labels == 1] > metrics['threshold'])
  for name in FIGURES:
    with Image.open(trained / f'figures/{name}.png') as picture:
      assert picture.width > 200 and len(picture.convert('RGB').getcolors(2**24)) > 10
  text = summary_text(metrics)
  assert 'anomalous if high' in text and f'image AUROC: {metrics["image_auroc"]:.3f}' in text
  assert 'bands' not in text and 'image_auroc_bands' not in metrics


def test_the_recipe_bands_is_fitted_beside_networks_only_if_asked_for(
  trained: Path, mvtec_folder: Path, tmp_path: Path
) -> None:
  metrics = evaluate(trained, with_bands=True)
  assert metrics['image_auroc_bands'] == 1 and metrics['trivial'].keys() == TRIVIAL
  assert 'AUROC of the recipe `bands` on the same images: 1.000' in summary_text(metrics)
  assert 'the recipe <code>bands</code> on the same images' in (trained / 'report.html').read_text()
  # It must be fitted to the photographs of the run.
  shutil.copytree(mvtec_folder, tmp_path / 'data')
  (tmp_path / 'data/tile/train/good/000.png').unlink()
  with pytest.raises(InputError, match='the training images have changed'):
    evaluate(trained, with_bands=True, data_dir=str(tmp_path / 'data'), pictures=False)


def test_unknown_protocols_and_folders_are_named(trained: Path, tmp_path: Path) -> None:
  with pytest.raises(InputError, match='last, validation, oracle'):
    evaluate(trained, protocol='best')
  with pytest.raises(InputError, match='no run in'):
    evaluate(tmp_path)


def read_tile(scorer: Scorer, pattern: str) -> np.ndarray:
  """The images of the fixture's dataset, uint8 [images, 32, 32, 3]."""
  paths = sorted(Path(scorer.config.data_dir, 'tile').glob(pattern))
  return np.stack([decode_image(path.read_bytes(), 32) for path in paths])


def test_masks_are_compared_with_the_maps(trained: Path, mvtec_folder: Path) -> None:
  metrics = evaluate(trained, pictures=False)
  assert metrics['num_masks'] == 6 and '(6 masks)' in summary_text(metrics)
  # Recomputed: images and masks are read here, maps come from the scorer.
  scorer = load(trained)
  mask = decode_mask((mvtec_folder / 'tile/ground_truth/scratch/000.png').read_bytes(), 32)
  masks = np.stack([np.zeros_like(mask)] * 5 + [mask] * 6)
  expected = pixel_metrics(scorer.maps(read_tile(scorer, 'test/*/*.png')), masks)
  for name, value in expected.items():
    assert metrics[name] == pytest.approx(value, abs=1e-6), name


def test_oracle_is_the_best_on_the_test_set_and_says_so(trained: Path) -> None:
  metrics = evaluate(trained, protocol='oracle')
  aurocs = metrics['oracle_aurocs']
  assert len(aurocs) == 2  # the fixture keeps both its checkpoints
  assert metrics['image_auroc'] == pytest.approx(max(aurocs.values()))
  assert 'selected by its AUROC on this test set' in summary_text(metrics)
  assert json.loads((trained / 'oracle/metrics.json').read_text())['protocol'] == 'oracle'
  report = (trained / 'oracle/report.html').read_text()
  assert 'selected by its AUROC on this test set' in report
  assert 'oracle' not in summary_text(evaluate(trained, pictures=False))
  with pytest.raises(InputError, match='only evaluation has it'):
    load(trained, protocol='oracle')


def test_a_run_can_be_evaluated_under_another_score(trained: Path, tmp_path: Path) -> None:
  """The result is as if it had been trained with that score, which training does not use."""
  with pytest.raises(InputError, match='--output'):
    evaluate(trained, score={'kind': 'map'})
  metrics = evaluate(trained, score={'kind': 'map'}, output=tmp_path, pictures=False)
  assert metrics['score']['kind'] == 'map' and metrics['score']['map_top'] == 200
  scores = [score for _, score in read_scores(tmp_path).values()]
  # By hand: in units of the held-out images, the mean of the three largest
  # (200 at 256 pixels) of each map.
  scorer = load(trained)
  _, held_out = hold_out(np.arange(20), 0.1, 0)
  normal = scorer.maps(read_tile(scorer, 'train/good/*.png')[held_out])
  of = lambda maps: np.sort((maps / normal.mean()).reshape(len(maps), -1))[:, -3:].mean(1)
  least, most = of(normal).min(), of(normal).max()
  raw = of(scorer.maps(read_tile(scorer, 'test/*/*.png')))
  np.testing.assert_allclose(scores, (raw - least) / (most - least), rtol=1e-3)
  with pytest.raises(InputError, match="score.kind is 'best'"):
    evaluate(trained, score={'kind': 'best'}, output=tmp_path, pictures=False)


def test_test_images_are_enough_to_evaluate(
  trained: Path, mvtec_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
  run, tile = tmp_path / 'run', tmp_path / 'tile'
  shutil.copytree(trained, run)
  config = json.loads((run / 'config.json').read_text())
  config['data'] |= {'dataset': 'folder', 'category': ''}
  config['data_dir'] = str(tmp_path / 'gone')
  (run / 'config.json').write_text(json.dumps(config))
  for part in ('test', 'ground_truth'):
    shutil.copytree(mvtec_folder / 'tile' / part, tile / part)
  (tile / 'ground_truth/scratch/005.png').rename(tile / 'ground_truth/scratch/005.txt')
  metrics = evaluate(run, test_dir=str(tile / 'test'), pictures=False)
  told = capsys.readouterr().err
  assert f'warning: no training photographs in {tmp_path}/gone' in told
  # The warnings of the check are printed, so that it is plain why a mask is missing.
  assert 'warning: 1 mask left out, not an image by extension: ground_truth/scratch/005.txt' in told
  assert 'warning: 1 anomalous image without a mask: scratch/005.png' in told
  expected = evaluate(trained, pictures=False)
  assert metrics['image_auroc'] == expected['image_auroc'] and metrics['num_masks'] == 5
  assert metrics['num_normal_twins'] is None and 'image AUROC: ' in summary_text(metrics)
  for options in ({'score': {'kind': 'map'}, 'output': tmp_path / 'out'}, {'with_bands': True}):
    with pytest.raises(InputError, match=r'are fitted to the training photographs, and there are'):
      evaluate(run, test_dir=str(tile / 'test'), **options)
  # Without one folder called good there is no AUROC, and it says why.
  (tile / 'test/good').rename(tile / 'test/OK')
  metrics = evaluate(run, test_dir=str(tile / 'test'), pictures=False)
  why = 'no folder of sound parts is called good; there are OK, scratch'
  assert f'lacks a labelled class: {why}' in summary_text(metrics)
  with pytest.raises(InputError, match=f'lacks a labelled class .{why}.'):
    evaluate(run, test_dir=str(tile / 'test'), protocol='oracle', pictures=False)
  # Copies of training images are still found.
  shutil.copy(mvtec_folder / 'tile/train/good/003.png', tile / 'test/OK/copy.png')
  with pytest.raises(InputError, match=r'1 test images \(first: OK/copy.png\) are in the training'):
    evaluate(run, test_dir=str(tile / 'test'), pictures=False)
  with pytest.raises(InputError, match=r'--test_dir is for the dataset folder, but .* mvtec_ad'):
    evaluate(trained, test_dir=str(tile / 'test'))


def test_unknown_fields_of_the_score_end_in_one_line() -> None:
  done = run_module('ocrgan_jax.evaluate', '--workdir=anywhere', '--score.knd=map')
  assert done.returncode == 1
  assert re.fullmatch(r'error: --score has no such field; .* kind, .*\n', done.stderr), done.stderr
