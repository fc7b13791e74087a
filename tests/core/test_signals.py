"""Trainings stopped by signals, as from clusters and Ctrl-C, in real processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import psutil
import pytest

from ocrgan_jax.inference.loading import load
from tests.conftest import REPOSITORY, tiny_flags

LONG = [f'--config.train.{x}' for x in ('epochs=12', 'log_every=1', 'checkpoint_every=12')]

STREAMED = ['--config.data.memory_gib=0', '--config.data.workers=2', '--config.train.log_every=1']

pytestmark = pytest.mark.slow


def start(mvtec_folder: Path, workdir: Path, *flags: str) -> subprocess.Popen[str]:
  command = [sys.executable, '-m', 'ocrgan_jax.train', '--config=configs/mvtec.py:tile']
  command += [*tiny_flags(), f'--config.data_dir={mvtec_folder}', f'--workdir={workdir}', *flags]
  return subprocess.Popen(
    command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True, start_new_session=True
  )


def wait_for_steps(workdir: Path, process: subprocess.Popen[str]) -> None:
  log = workdir / 'metrics.jsonl'
  while not (log.exists() and log.read_text().count('\n') > 2):
    assert process.poll() is None
    time.sleep(0.05)


@pytest.fixture(scope='module')
def whole(mvtec_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
  """The folder of the same training, uninterrupted."""
  workdir = tmp_path_factory.mktemp('interruption') / 'whole'
  process = start(mvtec_folder, workdir, *LONG)
  assert process.communicate()[1] and process.returncode == 0
  return workdir


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_same_command_resumes(
  number: signal.Signals, whole: Path, mvtec_folder: Path, tmp_path: Path
) -> None:
  workdir = tmp_path / 'run'
  process = start(mvtec_folder, workdir, *LONG)
  wait_for_steps(workdir, process)
  process.send_signal(number)
  told = process.communicate()[1]
  assert process.returncode == 128 + number
  assert f'{number.name}: saving after this step; repeat to stop immediately' in told
  assert 'which is saved; run the same command again to continue' in told
  assert 'Traceback' not in told
  assert [path.name for path in (workdir / 'checkpoints').iterdir()] == []
  again = start(mvtec_folder, workdir, *LONG)
  assert 'resuming from step' in again.communicate()[1]
  assert not (workdir / 'interrupted').exists()
  jax.tree.map(np.testing.assert_array_equal, load(workdir).state, load(whole).state)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_all_processes_saves(
  number: signal.Signals, mvtec_folder: Path, tmp_path: Path
) -> None:
  """Terminals send Ctrl-C, and clusters SIGTERM, to every process."""
  workdir = tmp_path / 'run'
  endless = ['--config.train.epochs=500', '--config.train.checkpoint_every=500']
  process = start(mvtec_folder, workdir, *STREAMED, *endless)
  wait_for_steps(workdir, process)
  os.killpg(process.pid, number)
  told = process.communicate()[1]
  assert process.returncode == 128 + number and 'Traceback' not in told, told
  (saved,) = (workdir / 'interrupted').iterdir()
  assert f'stopped after step {saved.name}, which is saved' in told
  state = ocp.StandardCheckpointer().restore(saved / 'state')
  assert int(state['step']) == int(saved.name)


def test_workers_end_when_their_training_is_killed(mvtec_folder: Path, tmp_path: Path) -> None:
  workdir = tmp_path / 'run'
  process = start(mvtec_folder, workdir, *STREAMED, '--config.train.epochs=500')
  wait_for_steps(workdir, process)
  workers = psutil.Process(process.pid).children(recursive=True)
  assert len(workers) >= 2
  os.kill(process.pid, signal.SIGKILL)
  process.communicate()
  assert psutil.wait_procs(workers, timeout=20)[1] == []
