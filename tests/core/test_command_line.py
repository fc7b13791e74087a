"""The commands as a user types them; each mistake ends in one line."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ocrgan_jax.core import command_line
from tests.conftest import run_module, tiny_flags


def test_train_then_evaluate(mvtec_folder: Path, tmp_path: Path) -> None:
  workdir = tmp_path / 'run'
  done = run_module(
    'ocrgan_jax.train',
    '--config=configs/mvtec.py:tile',
    f'--workdir={workdir}',
    f'--config.data_dir={mvtec_folder}',
    *tiny_flags(),
  )
  assert done.returncode == 0, done.stderr
  assert re.search(
    r'100%.*(image/s|s/image), 00:00 left, epoch 2.2, losses: generator', done.stderr
  )
  begun = (
    r'^on CPU in float32: G has [\d,]+ and D [\d,]+ parameters; '
    r'5 steps with batches of 8 from 18 images, 2 more'
  )
  assert re.search(begun, done.stderr, re.MULTILINE)
  assert 'warning: only 5 steps, ' in done.stderr and 'only 2 held-out parts' in done.stderr
  assert f'next:    ocrgan evaluate --workdir={workdir}' in done.stdout
  assert json.loads((workdir / 'config.json').read_text())['model']['width'] == 2
  done = run_module('ocrgan_jax.evaluate', f'--workdir={workdir}')
  assert done.returncode == 0, done.stderr
  assert 'image AUROC: ' in done.stdout and 'mean brightness' in done.stdout
  assert {path.name for path in workdir.iterdir()} == {
    'config.json',
    'shared_with_test.json',
    'training_set.json',
    'metrics.jsonl',
    'tensorboard',
    'checkpoints',
    'metrics.json',
    'scores.csv',
    'figures',
    'report.html',
  }


@pytest.mark.parametrize(
  ('config', 'flags', 'message'),
  [
    (
      'mvtec.py:tile',
      ['--config.data_dir=/no/such'],
      r'no such data folder: /no/such; expected <data_dir>/<category>/ with train/good',
    ),
    ('mvtec.py:tyle', [], r"no 'tyle' in .*; there are tile$"),
    (
      'mvtec.py:tile,fast',
      [],
      r"^error: unknown recipe 'fast': use one of paper, release, bands$",
    ),
    ('mvtec.py:tile,restore', [], '^error: the recipe restore is gone: use bands, which '),
    ('mvtec.py:tile', ['--config.image_size=100'], r'image_size is 100; .*power of two'),
    (
      'mvtec.py:tile',
      ['--config.model.widht=4'],
      r"^error: no such config field: 'widht'\. Did you mean \"width\" instead of \"widht\"\?$",
    ),
    ('mvtec.py:tile', ['--config.zzz=4'], r"^error: no such config field: 'zzz'$"),
    ('mvtec.py:tile', ['--config.zzz.width=4'], r"^error: no such config field: 'zzz'$"),
    (
      'mvtec.py:tile',
      ['--config.model.width=wide'],
      r'^error: --config.model.width=wide: .* whole',
    ),
    (
      'mvtec.py:tile',
      ['--config.train.learning_rate=x: y'],
      r'^error: --config.train.learning_rate=x: y: .* a number$',
    ),
    (
      'mvtec.py:tile',
      ['--config.data.thumbnails=ja'],
      r'^error: .*thumbnails=ja: .* True or False$',
    ),
    ('mvtec.py:tile', ['--config.train=3'], r'^error: --config.train=3: it is a section of the co'),
    ('mvtec.py:tile', ['stray'], r"unexpected argument 'stray': flags start with --"),
    ('nothing.py', [], r"No such file or directory: 'configs/nothing.py'"),
  ],
)
def test_mistakes_get_one_line(
  config: str, flags: list[str], message: str, mvtec_folder: Path, tmp_path: Path
) -> None:
  workdir = tmp_path / 'run'
  done = run_module(
    'ocrgan_jax.train',
    f'--config=configs/{config}',
    f'--workdir={workdir}',
    f'--config.data_dir={mvtec_folder}',
    *flags,
  )
  assert done.returncode == 1
  assert done.stderr.startswith('error: ') and len(done.stderr.splitlines()) == 1, done.stderr
  assert re.search(message, done.stderr.strip()), done.stderr
  assert not done.stdout and not workdir.exists()


@pytest.mark.parametrize(
  'module, told, flag',
  [
    ('ocrgan_jax.predict', 'Scores photographs', '--workdir: folder of the run'),
    ('ocrgan_jax.calibrate', '--workdir=…', '--score.false_alarms'),
    (
      'experiments.paper.table_5',
      'Table V: what each component is worth',
      '--seeds: seeds of each run',
    ),
  ],
)
def test_help_lists_the_flags(module: str, told: str, flag: str) -> None:
  done = run_module(module, '--help')
  assert told in done.stdout and flag in done.stdout
  assert not done.stderr


@pytest.mark.parametrize(
  ('argument', 'expected'),
  [
    ('--workdir=~/m', '--workdir=/home/me/m'),
    ('--config=~/mine.py:bottle', '--config=/home/me/mine.py:bottle'),
    ('--config.data.region=~/mask.png', '--config.data.region=/home/me/mask.png'),
    ('--config.data.groups=~/groups.csv', '--config.data.groups=/home/me/groups.csv'),
    ('~/photographs/*.png', '/home/me/photographs/*.png'),
    ('--output=~', '--output=/home/me'),
    # Not in the home folder: a name, an expression, no such user.
    ('--output=a~/b', '--output=a~/b'),
    ('--config.data.groups=~bin', '--config.data.groups=~bin'),
    ('--output=~nobody-here/b', '--output=~nobody-here/b'),
  ],
)
def test_the_home_folder_is_found_in_every_argument(
  argument: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setenv('HOME', '/home/me')
  assert command_line.resolve_paths([argument]) == [expected]


def test_commands_read_and_write_below_the_home_folder(
  mvtec_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setenv('HOME', str(mvtec_folder.parent))
  done = run_module(
    'ocrgan_jax.data',
    '--config=folder',
    '--config.data_dir=~/mvtec/tile/train/good',
    '--config.data.test_dir=~/mvtec/tile/test',
    '--config.data.prepared_dir=~/home-test/prepared',
    '--config.data.groups=none',
    '--picture=~/home-test/sheet.png',
  )
  assert done.returncode == 0, done.stderr
  home = mvtec_folder.parent / 'home-test'
  assert {p.name for p in home.iterdir()} == {'.ocrgan_output', 'prepared', 'sheet.png'}


def test_running_out_of_memory_ends_in_one_line() -> None:
  asks = 'import jax.numpy as jnp; command_line.run(lambda: jnp.zeros(2**50).sum())'
  program = f'from ocrgan_jax.core import command_line; {asks}'
  done = subprocess.run(
    [sys.executable, '-c', program], capture_output=True, text=True, check=False
  )
  assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr
  assert re.match(r'error: RESOURCE_EXHAUSTED: Out of memory .*: lower the batch', done.stderr)


def test_predict_does_not_import_scikit_learn() -> None:
  program = 'import sys, ocrgan_jax.predict; sys.exit("sklearn" in sys.modules)'
  assert not subprocess.run([sys.executable, '-c', program], check=False).returncode
