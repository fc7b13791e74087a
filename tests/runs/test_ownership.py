import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ocrgan_jax.core.errors import InputError, InUse
from ocrgan_jax.runs.ownership import LOCK, owned
from ocrgan_jax.training.train import train
from tests.conftest import REPOSITORY, run_module, tiny_config, tiny_flags

HOLD = """
import sys, time
from pathlib import Path
from ocrgan_jax.runs.ownership import owned
with owned(Path(sys.argv[1])):
  print('held', flush=True)
  time.sleep(600)
"""


def test_a_second_training_is_refused_and_names_the_first(
  mvtec_folder: Path, tmp_path: Path
) -> None:
  workdir = tmp_path / 'run'
  with owned(workdir / LOCK), pytest.raises(InUse) as caught:
    train(tiny_config(mvtec_folder), workdir)
  assert f'{workdir} is in use by process {os.getpid()} on ' in str(caught.value)
  assert '\n' not in str(caught.value)
  assert not workdir.exists()  # nothing is left of either


def test_a_lock_of_a_killed_process_does_not_block(tmp_path: Path) -> None:
  lock = tmp_path / 'run' / LOCK
  process = subprocess.Popen(
    [sys.executable, '-c', HOLD, str(lock)], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
  )
  assert process.stdout and process.stdout.readline() == 'held\n'
  with pytest.raises(InUse, match=f'process {process.pid} on .* since 20'), owned(lock):
    pass
  process.send_signal(signal.SIGKILL)
  process.wait()
  process.stdout.close()
  assert lock.exists()
  with owned(lock):
    pass
  assert not lock.exists()


def test_a_run_that_cannot_start_leaves_nothing(mvtec_folder: Path, tmp_path: Path) -> None:
  with pytest.raises(InputError, match="no 'wood' in"):
    train(tiny_config(mvtec_folder, data__category='wood'), tmp_path / 'run')
  assert not (tmp_path / 'run').exists()


def test_a_seed_given_twice_is_refused(tmp_path: Path) -> None:
  ended = run_module(
    'ocrgan_jax.train',
    '--config=configs/mvtec.py:tile',
    f'--workdir={tmp_path}/runs',
    *tiny_flags(),
    '--seeds=0,1,0',
  )
  assert ended.returncode == 1
  assert ended.stderr.strip().splitlines()[-1] == 'error: --seeds names 0 twice'
