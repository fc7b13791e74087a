"""Several processes that train one model, as on several hosts."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from ocrgan_jax.inference.loading import load_each
from ocrgan_jax.model.state import State
from ocrgan_jax.training.train import train
from tests.conftest import REPOSITORY, tiny_config, tiny_flags, with_devices

pytestmark = pytest.mark.slow


def state_at(workdir: Path, step: int) -> State:
  return next(s.state for s in load_each(workdir, 'oracle') if int(s.state.step) == step)


def assert_close(first: State, second: State) -> None:
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), first, second)


def test_two_processes_train_as_one_and_one_resumes_from_their_checkpoint(
  mvtec_folder: Path, trained: Path, tmp_path: Path
) -> None:
  with socket.socket() as free:
    free.bind(('localhost', 0))
    port = free.getsockname()[1]
  command = [
    *[sys.executable, '-m', 'ocrgan_jax.train', '--config=configs/mvtec.py:tile'],
    f'--workdir={tmp_path}/run',
    f'--config.data_dir={mvtec_folder}',
    *tiny_flags(),
    '--config.train.keep_checkpoints',
    f'--coordinator=localhost:{port}',
    '--num_processes=2',
  ]
  environment = {**os.environ, **with_devices(2)}
  processes = [
    subprocess.Popen(
      [*command, f'--process_id={i}'],
      cwd=REPOSITORY,
      env=environment,
      stderr=subprocess.PIPE,
      text=True,
    )
    for i in range(2)
  ]
  errors = [process.communicate(timeout=400)[1] for process in processes]
  assert [process.returncode for process in processes] == [0, 0], errors
  assert 'training 100%' in errors[0] and 'training' not in errors[1].replace(
    'the training step', ''
  )

  # Four devices of two processes saved what one device of one process did: after 5 steps.
  assert_close(state_at(tmp_path / 'run', 5), state_at(trained, 5))
  lines = [json.loads(line) for line in (tmp_path / 'run/metrics.jsonl').read_text().splitlines()]
  assert [line['step'] for line in lines] == [3, 3, 5, 5]  # one of them wrote the log
  # From the checkpoint in between, one process with one device comes to the same end.
  shutil.rmtree(tmp_path / 'run/checkpoints/5')
  train(tiny_config(mvtec_folder, train__keep_checkpoints=True), tmp_path / 'run')
  assert_close(state_at(tmp_path / 'run', 5), state_at(trained, 5))
