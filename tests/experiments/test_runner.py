"""The runner of experiments; see test_experiments.py for the experiments themselves."""

import shutil
import threading
from pathlib import Path

import pytest
from filelock import FileLock

from experiments import rows, runner
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.datasets import prepare_dataset
from tests.conftest import tiny_config


def test_finished_runs_are_not_repeated_and_failures_are_returned(
  mvtec_folder: Path, tmp_path: Path
) -> None:
  good = tiny_config(mvtec_folder, train__epochs=1)
  absent = tiny_config(mvtec_folder, data__category='wood')
  written = set()
  for _ in range(2):
    found = runner.run_all([absent, good, good], tmp_path)
    assert found[runner.name_of(absent)]['error'].startswith("no 'wood' in ")
    written.add((tmp_path / runner.name_of(good) / 'scores.csv').stat().st_mtime_ns)
  assert len(written) == 1
  (row,) = rows.read(tmp_path / 'results.jsonl')
  assert row == found[runner.name_of(good)]
  assert row['steps'] == 3 and row['config']['model.width'] == 2
  assert 0 <= row['last'] <= 1 and 0 <= row['image_auroc_bands'] <= 1


def test_only_the_best_and_the_last_checkpoint_of_a_finished_run_stay(
  mvtec_folder: Path, tmp_path: Path
) -> None:
  """Also if its runner was killed right after the run."""
  config = tiny_config(mvtec_folder)
  name = runner.name_of(config)
  rows.append(tmp_path / 'results.jsonl', {'run': name, 'last': 0.75})
  for step, auroc in {3: 0.5, 6: 0.75, 9: 0.75, 12: 0.5, 15: 0.25}.items():
    rows.append(tmp_path / name / 'metrics.jsonl', {'step': step, runner.VALIDATION: auroc})
    (tmp_path / name / 'checkpoints' / str(step)).mkdir(parents=True)
  runner.run_all([config], tmp_path)
  assert {path.name for path in (tmp_path / name / 'checkpoints').iterdir()} == {'9', '15'}


def test_a_finished_run_of_other_images_is_refused(mvtec_folder: Path, tmp_path: Path) -> None:
  """Where the images are is no part of a run's name."""
  config = tiny_config(mvtec_folder)
  name = runner.name_of(config)
  images = runner.digest_of(prepare_dataset(config.data_dir, config.data))
  rows.append(tmp_path / 'runs/results.jsonl', {'run': name, 'last': 0.75, 'images': images})
  assert runner.run_all([config], tmp_path / 'runs')[name]['last'] == 0.75
  shutil.copytree(mvtec_folder, tmp_path / 'other')
  (tmp_path / 'other/tile/test/good/000.png').unlink()
  config.data_dir = str(tmp_path / 'other')
  with pytest.raises(InputError, match=f'run {name} in .* is of other images than those in'):
    runner.run_all([config], tmp_path / 'runs')


def test_minutes_count_the_steps_of_all_sessions() -> None:
  log = [  # the second line of losses comes from another session
    {'step': 3, 'epoch': 2.0, 'images_per_second': 3.0},
    {'step': 3, 'epoch': 2.0, 'validation_auroc': 0.5},
    {'step': 6, 'epoch': 4.0, 'images_per_second': 1.0},
  ]
  assert runner.minutes_of(log, 90) == 4.0


def test_two_runners_do_not_repeat_each_other(
  mvtec_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  """While another runner works on a run, this one waits for its results."""
  monkeypatch.setattr(runner, 'WAIT_SECONDS', 0.05)
  config = tiny_config(mvtec_folder)
  name = runner.name_of(config)
  (tmp_path / 'locks').mkdir()
  with FileLock(tmp_path / 'locks' / name):
    other = threading.Thread(target=runner.run_all, args=([config], tmp_path))
    other.start()
    other.join(timeout=1)
    assert other.is_alive()
    rows.append(tmp_path / 'results.jsonl', {'run': name, 'last': 0.75})
  other.join(timeout=60)
  assert not other.is_alive()
  assert not (tmp_path / name).exists()


def test_an_incomplete_line_is_overwritten(tmp_path: Path) -> None:
  path = tmp_path / 'results.jsonl'
  path.write_text('{"run": "a"}\n{"run": "b", "la')
  rows.append(path, {'run': 'c'})
  assert [row['run'] for row in rows.read(path)] == ['a', 'c']
  assert rows.find(path, run='c') == {'run': 'c'} and rows.find(path, run='b') is None
