"""Weights & Biases and MLflow, skipped if not installed; nothing is sent over the network."""

import json
from pathlib import Path

import pytest

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.training.tracking import open_tracker
from ocrgan_jax.training.train import train
from tests.conftest import tiny_config


def test_mlflow_gets_the_settings_and_every_line_of_the_log(
  mvtec_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  mlflow = pytest.importorskip('mlflow', reason='needs pip install mlflow-skinny')
  monkeypatch.setenv('MLFLOW_TRACKING_URI', (tmp_path / 'mlruns').as_uri())
  monkeypatch.setenv('MLFLOW_ALLOW_FILE_STORE', 'true')
  for epochs in (1, 2):  # stopped after the first and gone on with
    config = tiny_config(mvtec_folder, train__track='mlflow', train__epochs=epochs)
    train(config, tmp_path / 'run')
  client = mlflow.MlflowClient()
  experiment = client.get_experiment_by_name('ocrgan_jax')
  (run,) = client.search_runs([experiment.experiment_id])
  assert (run.info.run_name, run.info.status) == ('run', 'FINISHED')
  assert run.data.params['model.width'] == '2'
  lines = [json.loads(x) for x in (tmp_path / 'run/metrics.jsonl').read_text().splitlines()]
  for name in ('generator', 'validation_auroc'):
    expected = [(line['step'], line[name]) for line in lines if name in line]
    sent = client.get_metric_history(run.info.run_id, name)
    assert [(metric.step, metric.value) for metric in sent] == expected
    assert len(expected) == 2


def test_wandb_resumes_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
  pytest.importorskip('wandb', reason='needs pip install wandb')
  monkeypatch.setenv('WANDB_MODE', 'offline')
  monkeypatch.setenv('WANDB_SILENT', 'true')
  for step in (1, 2):
    log, close = open_tracker('wandb', tmp_path, tiny_config('')) or pytest.fail('no tracker')
    log(step, {'generator': 1.0})
    close()
  name = (tmp_path / 'tracked.txt').read_text().split()[1]
  assert len([*(tmp_path / 'wandb').glob(f'offline-run-*-{name}')]) == 2


def test_a_service_that_is_not_installed_is_named(
  tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setitem(__import__('sys').modules, 'wandb', None)
  with pytest.raises(InputError, match="train.track is 'wandb', which is not installed: pip"):
    open_tracker('wandb', tmp_path, tiny_config(''))
  with pytest.raises(InputError, match='train.track is .*; it must be one of none, wandb, mlflow'):
    train(tiny_config('', train__track='tensorboard'), tmp_path / 'run')
