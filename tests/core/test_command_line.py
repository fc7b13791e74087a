"""The commands as a user types them; each mistake ends in one line."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ocrgan_jax.core import command_line
from tests.conftest import run_module, tiny_flags


def fails_in_one_line(command: str, *arguments: str) -> str:
  """Runs a command that must fail, and returns its one line."""
  done = run_module(f'ocrgan_jax.{command}', *arguments)
  assert done.returncode == 1 and not done.stdout
  assert done.stderr.startswith('error: ') and len(done.stderr.splitlines()) == 1, done.stderr
  return done.stderr.strip()


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
  assert 'warning: only 5 steps, ' in done.stderr and 'only 2 parts set the' in done.stderr
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
  ('config', 'flag', 'message'),
  [
    (
      'tile',
      '.data_dir=/no/such',
      r'no such data folder: /no/such; expected <data_dir>/<category>/ wi',
    ),
    ('tyle', '', r"no 'tyle' in .*; there are tile$"),
    ('tile,fast', '', r"^error: unknown recipe 'fast': use one of paper, release, bands$"),
    ('tile,restore', '', "^error: unknown recipe 'restore': use one of paper, release, bands"),
    ('tile', '.image_size=100', r'image_size is 100; .*power of two'),
    (
      'tile',
      '.model.widht=4',
      r"^error: no such config field: 'widht'\. Did you mean \"width\" in",
    ),
    ('tile', '.zzz=4', r"^error: no such config field: 'zzz'$"),
    ('tile', '.zzz.width=4', r"^error: no such config field: 'zzz'$"),
    ('tile', '.model.width=wide', r'^error: --config.model.width=wide: .* whole'),
    (
      'tile',
      '.train.learning_rate=x: y',
      r'^error: --config.train.learning_rate=x: y: .* a number',
    ),
    ('tile', '.data.thumbnails=ja', r'^error: .*thumbnails=ja: .* True or False$'),
    (
      'tile',
      '.train=3',
      r'^error: --config.train=3: it is a section of the config; set one of its',
    ),
  ],
)
def test_mistakes_in_settings_are_named(
  config: str, flag: str, message: str, mvtec_folder: Path, tmp_path: Path
) -> None:
  workdir = tmp_path / 'run'
  flags = [f'--config=configs/mvtec.py:{config}', f'--config.data_dir={mvtec_folder}']
  flags += [f'--config{flag}'] if flag else []
  line = fails_in_one_line('train', *flags, f'--workdir={workdir}')
  assert re.search(message, line), line
  assert not workdir.exists()


@pytest.mark.parametrize(
  ('command', 'message'),
  [
    (
      'data --config=configs/nothing.py',
      "cannot load the config: .* 'configs/nothing.py'; the na",
    ),
    (
      'train --config=mvtec:tile --workdir=x stray',
      "unexpected argument 'stray': flags start with",
    ),
    ('train', 'missing --config and --workdir; for example: --config=mvtec:bottle --workdir=runs/'),
    ('train --config configs/mvtec.py', 'missing --workdir; for example: --workdir=runs/bottle$'),
    ('data', 'missing --config; for example: --config=mvtec:bottle$'),
    ('predict a.png', 'missing --workdir; for example: --workdir=runs/bottle$'),
  ],
)
def test_missing_and_stray_arguments_are_named(command: str, message: str) -> None:
  assert re.match(f'error: {message}', fails_in_one_line(*command.split()))


CONFIG = """from ocrgan_jax.configs import mvtec

def get_config():
  config = mvtec.get_config('tile')
  {}
  return config
"""


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    (CONFIG.format("config.image_size = 'a' + 1"), ':5: TypeError: can only concatenate str'),
    (CONFIG.format('config.image_size = big'), ":5: NameError: name 'big' is not defined"),
    (CONFIG.format("config.image_size = int('big')"), ':5: ValueError: invalid literal for int'),
    (CONFIG.format('config.image_size = 1 / 0'), ':5: ZeroDivisionError: division by zero'),
    (CONFIG.format('config.modle.width = 3'), ":5: AttributeError: 'modle'. Did you mean \"model"),
    (CONFIG.format("open('/no/such')"), ':5: FileNotFoundError: [Errno 2] No such file'),
    (CONFIG.format('config = = 3'), ':5: SyntaxError: invalid syntax'),
    ('import no_such_module', ':1: ModuleNotFoundError: No module named'),
    ('x = 1', ' has no function get_config; see configs/mvtec.py'),
    ('def get_config():\n  return {}', ' must return a ConfigDict; see configs/mvtec.py'),
    ('def get_config():\n  pass', ' returns nothing; end it with `return config`'),
  ],
)
def test_a_mistake_in_a_config_file_is_named_with_its_line(
  content: str, message: str, tmp_path: Path
) -> None:
  config = tmp_path / 'mine.py'
  config.write_text(content)
  assert f'{config}{message}' in fails_in_one_line('data', f'--config={config}')


def test_a_mistake_in_a_file_that_a_config_imports_is_named_with_its_line(tmp_path: Path) -> None:
  (tmp_path / 'shared.py').write_text('def size():\n  return 2 ** None\n')
  (tmp_path / 'mine.py').write_text(
    f'import sys\nsys.path.append({str(tmp_path)!r})\nimport shared\n\n'
    'def get_config():\n  return shared.size()\n'
  )
  line = fails_in_one_line('data', f'--config={tmp_path}/mine.py')
  assert line.startswith(f'error: {tmp_path}/shared.py:2: TypeError: unsupported operand')


@pytest.mark.parametrize(
  ('module', 'told', 'flag'),
  [
    ('ocrgan_jax.predict', 'Scores photographs', '--workdir: folder of the run'),
    ('ocrgan_jax.calibrate', '--workdir=…', '--score.false_alarms'),
    ('experiments.paper.table_5', 'Table V: what each component is worth', '--seeds: seeds of eac'),
  ],
)
def test_help_lists_the_flags(module: str, told: str, flag: str) -> None:
  done = run_module(module, '--help')
  assert told in done.stdout and flag in done.stdout
  assert not done.stderr


CONFIGS = str(command_line.CONFIGS)


@pytest.mark.parametrize(
  ('argument', 'expected'),
  [
    ('--workdir=~/m', '--workdir=/home/me/m'),
    ('--config=~/mine.py:bottle', '--config=/home/me/mine.py:bottle'),
    ('--config.data.region=~/mask.png', '--config.data.region=/home/me/mask.png'),
    ('~/photographs/*.png', '/home/me/photographs/*.png'),
    ('--output=~', '--output=/home/me'),
    # Not in the home folder: a name, an expression, no such user.
    ('--output=a~/b', '--output=a~/b'),
    ('--config.data.groups=~bin', '--config.data.groups=~bin'),
    ('--output=~nobody-here/b', '--output=~nobody-here/b'),
    # Configs by name.
    ('--config=mvtec:bottle,paper', f'--config={CONFIGS}/mvtec.py:bottle,paper'),
    ('--config folder', f'--config {CONFIGS}/folder.py'),
    ('mvtec --config=mine.py', 'mvtec --config=mine.py'),
  ],
)
def test_home_folders_and_names_of_configs_become_paths(
  argument: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setenv('HOME', '/home/me')
  assert command_line.resolve_paths(argument.split()) == expected.split()


def test_commands_read_and_write_below_the_home_folder(
  mvtec_folder: Path, monkeypatch: pytest.MonkeyPatch
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
