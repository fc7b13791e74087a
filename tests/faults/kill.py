"""Kills trainings at random moments: `python -m tests.faults.kill --kills=25`; takes minutes.

Each training is killed with SIGKILL at a random moment of its steps, validations and checkpoints,
resumed to its end, and compared bit for bit with an uninterrupted one.
"""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np

from ocrgan_jax.inference.loading import load
from ocrgan_jax.training.log import read_lines
from tests.conftest import REPOSITORY, TINY, write_data_without_signal

# A checkpoint about every second step, so that many kills come while one is saved.
CHANGES = {**TINY, 'train.epochs': 8, 'train.batch_size': 20, 'train.log_every': 1}


def start(data: Path, workdir: Path) -> subprocess.Popen[bytes]:
  """Starts or resumes the training."""
  fields = [f'--config.{name}={value}' for name, value in CHANGES.items()]
  command = [sys.executable, '-m', 'ocrgan_jax.train', '--config=configs/mvtec.py:tile']
  command += [*fields, f'--config.data_dir={data}', f'--workdir={workdir}']
  return subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.DEVNULL)


def start_to_first_step(data: Path, workdir: Path) -> subprocess.Popen[bytes]:
  """Starts the training and waits for the first line of its log."""
  process, log = start(data, workdir), workdir / 'metrics.jsonl'
  while not (log.exists() and log.stat().st_size):
    assert process.poll() is None, 'the training ended before its first step'
    time.sleep(0.01)
  return process


def finish(process: subprocess.Popen[bytes]) -> None:
  """Waits for the end of the training."""
  status = process.wait()
  assert not status, f'the training ended with status {status}'


def where(workdir: Path) -> str:
  """Describes where a run was killed: its last logged step, and whether it was saving."""
  steps = [line['step'] for line in read_lines(workdir / 'metrics.jsonl')]
  saving = [*(workdir / 'checkpoints').glob('*tmp*')]
  return f'after step {max(steps, default=0)}' + (', while it saved a checkpoint' if saving else '')


def same(first: Path, second: Path) -> bool:
  """Whether the last states of two runs are equal bit for bit."""
  states = [jax.tree.leaves(load(workdir).state) for workdir in (first, second)]
  return all(np.array_equal(a, b) for a, b in zip(*states, strict=True))


def run(kills: int, seed: int, folder: Path) -> list[tuple[str, bool]]:
  """Kills and resumes trainings.

  Args:
    kills: number of trainings.
    seed: seed of the moments.
    folder: folder for the images and the runs.

  Returns:
    Where each was killed, and whether it ended as the uninterrupted one.
  """
  rng, data, whole = random.Random(seed), folder / 'data', folder / 'whole'
  write_data_without_signal(data)
  finish(start(data, folder / 'compiled'))  # so that the time below does not include compilation
  process = start_to_first_step(data, whole)
  begun = time.monotonic()
  finish(process)
  seconds = time.monotonic() - begun
  found: list[tuple[str, bool]] = []
  while len(found) < kills:
    workdir = folder / f'killed{len(found)}'
    process = start_to_first_step(data, workdir)
    time.sleep(rng.uniform(0, seconds))
    process.kill()
    if process.wait() == 0:  # it finished before it could be killed
      shutil.rmtree(workdir)
      continue
    place = where(workdir)
    finish(start(data, workdir))
    found.append((place, same(whole, workdir)))
    print(f'killed {place}: {"identical" if found[-1][1] else "DIFFERENT"}', flush=True)
  return found


def main() -> int:
  """Runs the command."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--kills', type=int, default=25)
  parser.add_argument('--seed', type=int, default=0)
  arguments = parser.parse_args()
  with tempfile.TemporaryDirectory() as folder:
    found = run(arguments.kills, arguments.seed, Path(folder))
  identical = sum(same for _, same in found)
  print(f'{identical} of {len(found)} identical')
  return int(identical < len(found))


if __name__ == '__main__':
  sys.exit(main())
