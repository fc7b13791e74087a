"""The runner of experiments; see test_experiments.py for the experiments themselves."""

import shutil
import threading
from pathlib import Path

import ml_collections
import pytest

from experiments import runner
from ocrgan_jax.configs import default
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.runs.ownership import owned
from ocrgan_jax.training.log import read_lines
from ocrgan_jax.training.resolving import resolve
from tests.conftest import tiny_config


def config_of(mvtec_folder: Path, **fields: object) -> ml_collections.ConfigDict:
  return resolve(tiny_config(mvtec_folder, train__epochs=1, **fields))


def test_finished_runs_are_not_repeated_and_failures_are_returned(
  mvtec_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
  good, absent = config_of(mvtec_folder), config_of(mvtec_folder, data__category='wood')
  for _ in range(2):
    found = runner.run_all([absent, good, good], tmp_path)
    assert found[runner.name_of(absent)]['error'].startswith("no 'wood' in ")
    row = found[runner.name_of(good)]
    assert 0 <= row['last'] <= 1 and row['steps'] == 3
    assert row['config']['model.width'] == 2
  assert len(read_lines(tmp_path / 'results.jsonl')) == 1
  assert capsys.readouterr().err.count('compiling the training step') == 1


def test_a_runs_name_does_not_depend_on_where_images_are(
  mvtec_folder: Path, tmp_path: Path
) -> None:
  config = config_of(mvtec_folder)
  name = runner.name_of(config)
  config.data_dir = str(tmp_path)
  assert runner.name_of(config) == name
  config.train.epochs = 2
  assert runner.name_of(config) != name


def test_a_finished_run_of_other_images_is_refused(mvtec_folder: Path, tmp_path: Path) -> None:
  config = config_of(mvtec_folder)
  name = runner.name_of(config)
  row = {'run': name, 'last': 0.75, 'images': runner.images_of(config)}
  runner.append(tmp_path / 'runs/results.jsonl', row)
  assert runner.run_all([config], tmp_path / 'runs')[name]['last'] == 0.75
  shutil.copytree(mvtec_folder, tmp_path / 'other')
  (tmp_path / 'other/tile/test/good/000.png').unlink()
  config.data_dir = str(tmp_path / 'other')
  with pytest.raises(InputError, match=f'run {name} in .* is of other images than those in'):
    runner.run_all([config], tmp_path / 'runs')


def test_minutes_count_the_steps_of_all_sessions() -> None:
  config = default.get_config()
  log = [  # 90 of 100 images train; the second line comes from another session
    {'step': 3, 'epoch': 2.0, 'images_per_second': 3.0},
    {'step': 3, 'epoch': 2.0, 'validation_auroc': 0.5},
    {'step': 6, 'epoch': 4.0, 'images_per_second': 1.0},
  ]
  assert runner.minutes_of(log, 100, config) == 4.0


def test_two_runners_do_not_repeat_each_other(
  mvtec_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  """While another runner works on a run, this one waits for its results."""
  monkeypatch.setattr(runner, 'WAIT_SECONDS', 0.05)
  config = config_of(mvtec_folder)
  name = runner.name_of(config)
  with owned(tmp_path / 'locks' / name):
    other = threading.Thread(target=runner.run_all, args=([config], tmp_path))
    other.start()
    other.join(timeout=1)
    assert other.is_alive()
    runner.append(tmp_path / 'results.jsonl', {'run': name, 'last': 0.75})
  other.join(timeout=60)
  assert not other.is_alive()
  assert runner.run_all([config], tmp_path)[name]['last'] == 0.75
  assert not (tmp_path / name).exists()


def test_an_incomplete_line_is_overwritten(tmp_path: Path) -> None:
  path = tmp_path / 'results.jsonl'
  path.write_text('{"run": "a"}\n{"run": "b", "la')
  runner.append(path, {'run': 'c'})
  assert [row['run'] for row in read_lines(path)] == ['a', 'c']


def test_runs_of_one_shape_share_a_program(mvtec_folder: Path) -> None:
  configs = [
    config_of(mvtec_folder),
    config_of(mvtec_folder, model__width=4),
    config_of(mvtec_folder, seed=1),
    config_of(mvtec_folder, seed=2),
  ]
  names = [runner.name_of(config) for config in configs]
  groups = runner._groups(dict(zip(names, configs, strict=True)), 2)
  assert [[*group] for group in groups] == [[names[0], names[2]], [names[3]], [names[1]]]
