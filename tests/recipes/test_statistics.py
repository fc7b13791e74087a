"""The recipe `statistics`, end to end."""

import functools
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from ocrgan_jax.configs import mvtec
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.inference.export import export, run_onnx
from ocrgan_jax.inference.loading import load
from ocrgan_jax.inference.predict_files import find_images
from ocrgan_jax.model.score_step import score_step
from ocrgan_jax.model.settings import build_model
from ocrgan_jax.model.state import create_state
from ocrgan_jax.reports.evaluation import evaluate
from ocrgan_jax.runs.training_images import load_training_images
from ocrgan_jax.scoring.anomaly_score import Reference
from ocrgan_jax.training.group import train_several
from ocrgan_jax.training.train import train
from tests.conftest import assert_scores_half, tiny_config, write_data_without_signal

STATISTICS = {
  'train__epochs': 0,
  'score__kind': 'map',
  'score__map': 'density',
  'score__map_sigma': 0.0,
  'forgery__validation': 'unseen',
}


@pytest.fixture(scope='module')
def run(mvtec_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
  """The folder of a tiny fitted run."""
  workdir = tmp_path_factory.mktemp('runs') / 'statistics'
  train(tiny_config(mvtec_folder, **STATISTICS), workdir)
  return workdir


def test_the_preset_is_these_fields() -> None:
  config = mvtec.get_config('tile,statistics')
  for name, value in STATISTICS.items():
    section, field = name.split('__')
    assert config[section][field] == value, name


def test_nothing_is_trained_and_the_checkpoint_has_all_that_scoring_needs(
  run: Path, mvtec_folder: Path, capsys: pytest.CaptureFixture
) -> None:
  restored = ocp.StandardCheckpointer().restore(run / 'checkpoints/0/calibration')
  assert restored['density']['1']['whitening'].shape[:2] == (8, 8)
  scorer = load(run)
  assert not jax.tree.leaves(scorer.state.generator)
  compiled = jax.jit(functools.partial(score_step, model=scorer.model)).lower(
    scorer.state, scorer.calibration.reference, np.zeros((4, 32, 32, 3), np.uint8)
  )
  assert 'convolution' not in compiled.as_text()
  train(tiny_config(mvtec_folder, **STATISTICS), run)
  assert 'nothing left to train' in capsys.readouterr().err


def test_every_image_counts_for_the_threshold_scored_by_a_density_fitted_without_it(
  run: Path, mvtec_folder: Path
) -> None:
  scorer = load(run)
  images, held_out, *_ = load_training_images(scorer.config, run).normal
  calibration = scorer.calibration
  assert calibration.num_images == len(calibration.held_out) == len(images) + len(held_out) == 20
  # With the density of all training images, held-out images score as in the calibration. The
  # training images score lower, because this density was fitted to them.
  known = np.sort(np.concatenate([scorer.score(images), scorer.score(held_out)]))
  for score in scorer.score(held_out):
    assert np.isclose(calibration.held_out, score).any()
  assert (calibration.held_out - known).mean() > 0.1 * known.mean()


def test_runs_fitted_in_a_group_equal_runs_alone(
  run: Path, mvtec_folder: Path, tmp_path: Path
) -> None:
  configs = [tiny_config(mvtec_folder, **STATISTICS, seed=seed) for seed in (0, 1)]
  train_several(configs, [tmp_path / 'a', tmp_path / 'b'])
  first, second, alone = (load(path).calibration for path in (tmp_path / 'a', tmp_path / 'b', run))
  assert first.threshold == pytest.approx(alone.threshold, rel=1e-5) != second.threshold


def test_it_finds_the_scratches(run: Path) -> None:
  metrics = evaluate(run)
  assert metrics['image_auroc'] == 1 and metrics['step'] == 0
  assert metrics['pixel_auroc'] > 0.9
  assert (run / 'report.html').exists()


def test_predict_and_the_export_give_the_same_scores(
  run: Path, mvtec_folder: Path, tmp_path: Path
) -> None:
  paths = find_images([str(mvtec_folder / 'tile/test')])
  found = list(load(run).stream_files(paths, maps=tmp_path / 'maps'))
  assert {p.decision for p in found if 'scratch' in p.path} == {'anomalous'}
  alone = [next(iter(load(run).stream_files([path]))).score for path in paths[:3]]
  np.testing.assert_allclose(alone, [p.score for p in found[:3]], rtol=1e-4)
  written = export(run, tmp_path / 'out')
  assert written['files']['scorer.stablehlo']['largest_difference'] <= 1e-4


@pytest.mark.slow
def test_onnx_runtime_scores_by_the_density(run: Path, tmp_path: Path) -> None:
  pytest.importorskip('jax2onnx', reason="ONNX needs pip install -e '.[onnx]'")
  written = export(run, tmp_path / 'out', onnx=True)
  differences = {name: row['largest_difference'] for name, row in written['files'].items()}
  assert differences['scorer.stablehlo'] <= 1e-4 and differences['scorer.onnx'] <= 1e-3
  images = np.zeros((2, 32, 32, 3), np.uint8)
  score, anomaly_map = run_onnx((tmp_path / 'out/scorer.onnx').read_bytes())(images)
  assert score.shape == (2,) and anomaly_map.shape == (2, 32, 32)


def test_a_trained_model_can_be_scored_by_the_density(trained: Path, tmp_path: Path) -> None:
  score = {'kind': 'map', 'map': 'density', 'map_sigma': 0.0}
  metrics = evaluate(trained, score=score, output=tmp_path, pictures=False)
  assert metrics['image_auroc'] == pytest.approx(metrics['trivial']['band_statistics'], abs=0.2)


def test_the_papers_score_computes_no_statistics() -> None:
  model = build_model(tiny_config(''))
  state = jax.eval_shape(functools.partial(create_state, model), 0)
  images = np.zeros((4, 32, 32, 3), np.uint8)
  score = lambda s, r, x: score_step(s, r, x, model=model)['score']
  text = jax.jit(score).lower(state, Reference(np.ones((32, 32), np.float32)), images).as_text()
  assert 'stablehlo.log ' not in text and 'stablehlo.convolution' in text


def test_a_score_that_needs_networks_is_refused_without_training(mvtec_folder: Path) -> None:
  with pytest.raises(InputError, match=r'train.epochs is 0, so there are no networks'):
    build_model(tiny_config(mvtec_folder, train__epochs=0))


def test_data_without_signal_scores_half(tmp_path: Path) -> None:
  write_data_without_signal(tmp_path / 'data')
  train(tiny_config(tmp_path / 'data', **STATISTICS), tmp_path / 'run')
  assert_scores_half(tmp_path / 'run')
