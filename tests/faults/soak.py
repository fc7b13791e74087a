"""Looks for leaks in a long training with workers: `python -m tests.faults.soak --minutes=120`.

Every ten seconds it measures memory and open files of the training and its workers. The last
quarter of the measurements is compared with the second; growth means a leak.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from tqdm import tqdm

from tests.conftest import REPOSITORY, TINY, smooth_image, write_images

SECONDS = 10.0  # between measurements
ALLOWED = 1.05  # growth from the second to the last quarter


def start(root: Path) -> subprocess.Popen[bytes]:
  """Draws images and starts an endless training with a checkpoint every few seconds."""
  rng = np.random.default_rng(0)
  for place, count in (('train/good', 400), ('test/good', 4), ('test/bad', 4)):
    write_images(root / 'data/tile' / place, [smooth_image(rng, 300) for _ in range(count)])
  fields = {
    **TINY,
    'train.epochs': 1_000_000,
    'train.checkpoint_every': 5,
    'data.memory_gib': 0.0,
    'data.workers': 2,
    'data.prepared_dir': root / 'prepared',
  }
  command = [sys.executable, '-m', 'ocrgan_jax.train', '--config=configs/mvtec.py:tile']
  command += [f'--config.{name}={value}' for name, value in fields.items()]
  command += [f'--config.data_dir={root}/data', f'--workdir={root}/run']
  return subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.DEVNULL)


def count(process: psutil.Process) -> tuple[float, int]:
  """Unshared memory in MiB, and open files, of a process and its children."""
  family = [process, *process.children(recursive=True)]
  memory = sum(p.memory_full_info().uss for p in family) / 2**20
  return memory, sum(p.num_fds() for p in family)


def main() -> int:
  """Runs the command; the status is 1 if something grew."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--minutes', type=float, default=120)
  counts, number = [], int(parser.parse_args().minutes * 60 / SECONDS)
  with tempfile.TemporaryDirectory() as folder:
    training = start(Path(folder))
    try:
      for _ in tqdm(range(number), 'soaking'):
        time.sleep(SECONDS)
        assert training.poll() is None, f'the training ended with status {training.returncode}'
        counts.append(count(psutil.Process(training.pid)))
    finally:
      training.terminate()
      training.wait()
  quarters = [part.mean(0) for part in np.array_split(counts, 4)]
  for i, name in enumerate(('MiB of memory', 'open files')):
    print(f'{name} in each quarter:', *(f'{quarter[i]:.1f}' for quarter in quarters))
  return int((quarters[3] > ALLOWED * quarters[1]).any())


if __name__ == '__main__':
  sys.exit(main())
