"""A full disk, simulated by the system's limit on the size of files."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ocrgan_jax.inference.loading import load
from ocrgan_jax.training.train import train
from tests.conftest import REPOSITORY, tiny_config, tiny_flags

pytestmark = pytest.mark.slow


def run_with_limit(limit: int, command: str, *flags: str) -> subprocess.CompletedProcess[str]:
  """Runs a command that may not write files of more than `limit` bytes."""
  limited = ['prlimit', f'--fsize={limit}', sys.executable, '-m', f'ocrgan_jax.{command}', *flags]
  # The cache of compiled programs would be under the same limit.
  environment = {**os.environ, 'JAX_ENABLE_COMPILATION_CACHE': 'false'}
  return subprocess.run(
    limited, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
  )


def train_with_limit(limit: int, *flags: str) -> subprocess.CompletedProcess[str]:
  return run_with_limit(limit, 'train', '--config=configs/mvtec.py:tile', *tiny_flags(), *flags)


def assert_one_line(ended: subprocess.CompletedProcess[str], told: str) -> None:
  assert ended.returncode == 1, ended.stderr
  (line,) = [line for line in ended.stderr.splitlines() if line.startswith('error: ')]
  assert line.startswith(f'error: {told}') and 'File too large' in line, line
  # The threads of orbax and tensorstore must not print their errors either.
  assert 'Traceback' not in ended.stderr
  assert 'Event loop' not in ended.stderr


def test_a_dataset_that_cannot_be_written_ends_in_one_line(
  mvtec_folder: Path, tmp_path: Path
) -> None:
  prepared = f'--config.data.prepared_dir={tmp_path}/prepared'
  data = f'--config.data_dir={mvtec_folder}'
  ended = train_with_limit(2000, data, prepared, f'--workdir={tmp_path}/run')
  assert_one_line(ended, f'cannot write the prepared dataset to {tmp_path}/prepared')
  assert not (tmp_path / 'run').exists()


def test_a_failed_checkpoint_keeps_the_previous_one(mvtec_folder: Path, tmp_path: Path) -> None:
  workdir, prepared = tmp_path / 'run', {'data__prepared_dir': str(tmp_path / 'prepared')}
  train(tiny_config(mvtec_folder, train__epochs=1, **prepared), workdir)
  data = [f'--config.data_dir={mvtec_folder}', f'--config.data.prepared_dir={tmp_path}/prepared']
  ended = train_with_limit(50_000, *data, f'--workdir={workdir}')
  assert_one_line(ended, f'cannot save a checkpoint in {workdir}/checkpoints')
  assert os.listdir(workdir / 'checkpoints') == ['3']
  assert int(load(workdir).state.step) == 3
  again = train(tiny_config(mvtec_folder, **prepared), workdir)
  assert int(again.step) == 5


def test_a_failed_calibration_keeps_the_previous_one(trained: Path, tmp_path: Path) -> None:
  workdir = shutil.copytree(trained, tmp_path / 'run')
  before = load(workdir).calibration.threshold
  ended = run_with_limit(100, 'calibrate', f'--workdir={workdir}', '--score.false_alarms=0.5')
  assert_one_line(ended, f'cannot save a calibration in {workdir}/calibrations')
  assert load(workdir).calibration.threshold == before
