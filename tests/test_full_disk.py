"""Files that cannot grow, by the system's own limit: what a full disk is to a process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ocrgan_jax.scorer import load
from ocrgan_jax.train import train
from tests.conftest import REPOSITORY, tiny_config, tiny_flags

pytestmark = pytest.mark.slow


def train_with_limit(limit: int, *flags: str) -> subprocess.CompletedProcess[str]:
  """Trains where no file may be longer than so many bytes."""
  command = ['prlimit', f'--fsize={limit}', sys.executable, '-m', 'ocrgan_jax.train']
  command += ['--config=configs/mvtec.py:tile', *tiny_flags(), *flags]
  # Nothing new in the cache of compiled programs, which has the same limit.
  environment = {**os.environ, 'JAX_ENABLE_COMPILATION_CACHE': 'false'}
  return subprocess.run(
    command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
  )


def assert_one_line(ended: subprocess.CompletedProcess[str], told: str) -> None:
  assert ended.returncode == 1, ended.stderr
  assert sum(line.startswith(f'error: {told}') for line in ended.stderr.splitlines()) == 1
  # Nor do threads of orbax and tensorstore print beside it what they failed at.
  assert 'Traceback' not in ended.stderr
  assert 'Event loop' not in ended.stderr


def test_a_dataset_that_cannot_be_prepared(mvtec_folder: Path, tmp_path: Path) -> None:
  prepared = f'--config.data.prepared_dir={tmp_path}/prepared'
  data = f'--config.data_dir={mvtec_folder}'
  ended = train_with_limit(2000, data, prepared, f'--workdir={tmp_path}/run')
  assert_one_line(ended, f'cannot write the prepared dataset to {tmp_path}/prepared')
  assert not (tmp_path / 'run').exists()


def test_a_checkpoint_that_cannot_be_saved_leaves_the_one_before(
  mvtec_folder: Path, tmp_path: Path
) -> None:
  workdir, prepared = tmp_path / 'run', {'data__prepared_dir': str(tmp_path / 'prepared')}
  train(tiny_config(mvtec_folder, train__epochs=1, **prepared), workdir)
  data = [f'--config.data_dir={mvtec_folder}', f'--config.data.prepared_dir={tmp_path}/prepared']
  ended = train_with_limit(50_000, *data, f'--workdir={workdir}')
  assert_one_line(ended, f'cannot save a checkpoint in {workdir}/checkpoints')
  assert os.listdir(workdir / 'checkpoints') == ['3']
  assert int(load(workdir).state.step) == 3
  again = train(tiny_config(mvtec_folder, **prepared), workdir)
  assert int(again.step) == 5
