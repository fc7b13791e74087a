"""Checkpoints that were damaged on disk."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest

from ocrgan_jax.core.errors import Damaged
from ocrgan_jax.inference.loading import load
from ocrgan_jax.training.train import train
from tests.conftest import tiny_config

pytestmark = pytest.mark.slow


def largest_file(folder: Path) -> Path:
  return max((path for path in folder.rglob('*') if path.is_file()), key=lambda p: p.stat().st_size)


def flip_a_byte(folder: Path) -> None:
  path = largest_file(folder / 'state')
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)


def truncate(folder: Path) -> None:
  path = largest_file(folder / 'state')
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty_every_file(folder: Path) -> None:
  for path in folder.rglob('*'):
    if path.is_file():
      path.write_bytes(b'')


def lose_the_arrays(folder: Path) -> None:
  shutil.rmtree(folder / 'state')


def lose_the_metadata(folder: Path) -> None:
  for path in folder.rglob('_*METADATA'):
    path.unlink()


def change_its_validation(folder: Path) -> None:
  path = folder / 'metrics/metrics'
  path.write_text(path.read_text().replace('1', '2').replace('0', '1'))


def misspell_its_validation(folder: Path) -> None:
  path = folder / 'metrics/metrics'
  path.write_text(path.read_text().replace('validation', 'validatiom'))


DAMAGES = (
  change_its_validation,
  misspell_its_validation,
  flip_a_byte,
  truncate,
  empty_every_file,
  lose_the_arrays,
  lose_the_metadata,
)


@pytest.fixture(scope='module')
def run(mvtec_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
  """A run with two checkpoints, of steps 3 and 5."""
  folder = tmp_path_factory.mktemp('checkpoints') / 'run'
  train(tiny_config(mvtec_folder), folder)
  return folder


@pytest.mark.parametrize('damage', DAMAGES)
def test_a_damaged_checkpoint_prints_only_one_line(
  damage: Callable[[Path], None], run: Path, tmp_path: Path
) -> None:
  """In its own process, because orbax and tensorstore print from threads that pytest misses."""
  workdir = shutil.copytree(run, tmp_path / 'run')
  damage(workdir / 'checkpoints/5')
  program = f'from ocrgan_jax.inference.loading import load; load({str(workdir)!r})'
  done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True)
  lines = done.stderr.splitlines()
  assert len(lines) == 1 and lines[0].startswith('warning: '), done.stderr[:2000]
  assert 'ensor' not in lines[0] and len(lines[0]) < 300 + len(str(workdir))


@pytest.mark.parametrize('damage', DAMAGES)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
  damage: Callable[[Path], None],
  run: Path,
  mvtec_folder: Path,
  tmp_path: Path,
  capfd: pytest.CaptureFixture,
) -> None:
  workdir = tmp_path / 'run'
  shutil.copytree(run, workdir)
  damage(workdir / 'checkpoints/5')
  assert int(load(workdir).state.step) == 3
  told = capfd.readouterr().err
  assert f'warning: checkpoint {workdir}/checkpoints/5 is damaged' in told
  assert re.search('step 3 is used instead|it is not used', told) and 'Traceback' not in told
  again = train(tiny_config(mvtec_folder), workdir)
  told = capfd.readouterr().err
  assert 'resuming from step 3' in told and 'Traceback' not in told
  jax.tree.map(np.testing.assert_array_equal, again, load(run).state)
  assert int(load(workdir).state.step) == 5
  assert [path.name for path in (workdir / 'damaged').iterdir()] == ['5-0']


def test_a_run_without_a_whole_checkpoint_says_so(
  run: Path, mvtec_folder: Path, tmp_path: Path
) -> None:
  workdir = tmp_path / 'run'
  shutil.copytree(run, workdir)
  for step in (3, 5):
    flip_a_byte(workdir / f'checkpoints/{step}')
  for use in (load, lambda folder: train(tiny_config(mvtec_folder), folder)):
    with pytest.raises(Damaged, match=r'checkpoints/3 is damaged: .*; ?.* (train again|--workdir)'):
      use(workdir)
