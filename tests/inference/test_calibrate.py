import os
import shutil
from pathlib import Path

import pytest

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.inference.export import export
from ocrgan_jax.inference.loading import load
from ocrgan_jax.reports.evaluation import evaluate, evaluate_several
from ocrgan_jax.training.recalibration import calibrate
from ocrgan_jax.training.train import train
from tests.conftest import run_module, tiny_config


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
  """A copy of a run, for a test to calibrate."""
  return Path(shutil.copytree(trained, tmp_path / 'run'))


@pytest.mark.slow
def test_all_commands_use_the_chosen_calibration(
  run: Path, mvtec_folder: Path, tmp_path: Path
) -> None:
  before = load(run)
  calibrate(run, {'threshold': 0.25})
  scorer = load(run)
  assert scorer.calibration.limit == pytest.approx(0.25)
  images = sorted((mvtec_folder / 'tile/test').rglob('*.png'))
  for p in scorer.score_files(images):
    assert p.decision == ('anomalous' if p.score > 0.25 else 'normal')
  assert evaluate(run, pictures=False)['threshold'] == pytest.approx(0.25)
  assert export(run, tmp_path / 'out')['threshold'] == pytest.approx(0.25)

  # Another way to set it takes the place of the first; and back.
  calibrate(run, {'false_alarms': 0.5})
  held_out = before.calibration.held_out
  assert load(run).calibration.threshold == held_out[1]  # of two: rank ceil(0.5 * 3)
  assert load(run).config.score.threshold is None
  calibrate(run, {}, as_trained=True)
  assert load(run).calibration.threshold == before.calibration.threshold
  assert load(run).config.score == before.config.score


def test_no_false_alarms_at_all_is_refused_and_a_folder_that_cannot_be_written_told_at_once(
  run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  for changes in ({'false_alarms': 0.0}, {'false_alarms': 0, 'map_top': 3}):
    with pytest.raises(InputError, match=r'false_alarms=0: no threshold promises that'):
      calibrate(run, changes)
  # Not computed first: the check comes before the checkpoint is read.
  shutil.rmtree(run / 'checkpoints')
  monkeypatch.setattr(os, 'access', lambda path, mode: not mode & os.W_OK)
  for changes, as_trained in (({'threshold': 1.0}, False), ({}, True)):
    with pytest.raises(
      InputError, match=f'{run} is not writable; choose another --workdir: a copy'
    ):
      calibrate(run, changes, as_trained=as_trained)
  with pytest.raises(InputError, match=f'{run} is not writable; choose another --output$'):
    evaluate(run)
  with pytest.raises(InputError, match=f'{run} is not writable; choose another --workdir: a copy'):
    evaluate_several(run, [run], 'last')
  with pytest.raises(InputError, match=f'{run} is not writable; choose another --output$'):
    export(run, run / 'export')


def test_another_score_is_fitted_to_the_training_images(run: Path) -> None:
  calibrate(run, {'kind': 'map', 'map_top': 50, 'false_alarms': 0.3})
  scorer = load(run)
  assert scorer.model.score.kind == 'map'
  assert scorer.model.score.map_top == 50 and len(scorer.calibration.held_out) == 2
  # The threshold again, without the images: the score stays.
  calibrate(run, {'threshold': 0.0})
  again = load(run)
  assert again.model.score.kind == 'map' and again.calibration.limit == 0
  assert again.arrays.map_unit == scorer.arrays.map_unit != 1
  metrics = evaluate(run, pictures=False)
  assert metrics['score']['kind'] == 'map' and metrics['threshold'] == 0


def test_a_resumed_run_warns_that_the_calibration_is_of_an_earlier_step(
  run: Path, mvtec_folder: Path, capsys: pytest.CaptureFixture
) -> None:
  calibrate(run, {'threshold': 9.0})
  train(tiny_config(mvtec_folder, train__keep_checkpoints=True, train__epochs=3), run)
  capsys.readouterr()
  assert load(run).calibration.limit != 9
  told = 'the setting of ocrgan calibrate is for step 5, but this is step 7'
  assert told in capsys.readouterr().err


def test_the_command_reports_the_threshold(run: Path) -> None:
  done = run_module('ocrgan_jax.calibrate', f'--workdir={run}', '--score.false_alarms=0.01')
  assert done.returncode == 0, done.stderr
  told = 'threshold: 1.000, for a false-alarm rate of 0.01 (2 held-out sound photographs'
  assert told in done.stdout
  assert load(run).config.score.false_alarms == 0.01
  with pytest.raises(InputError, match='both set'):
    calibrate(run, {'threshold': 1.0, 'false_alarms': 0.1})
