"""Mistakes in a user's config file, and missing flags, end in one line that names the place."""

from pathlib import Path

import pytest

from tests.conftest import run_module

CONFIG = """from ocrgan_jax.configs import mvtec

def get_config():
  config = mvtec.get_config('tile')
  {}
  return config
"""


def fails_in_one_line(module: str, *arguments: str) -> str:
  """Runs a command that must fail, and returns its one line."""
  done = run_module(module, *arguments)
  assert done.returncode == 1 and not done.stdout
  assert done.stderr.startswith('error: ') and len(done.stderr.splitlines()) == 1, done.stderr
  return done.stderr.strip()


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    (CONFIG.format("config.image_size = 'a' + 1"), ':5: TypeError: can only concatenate str'),
    (CONFIG.format('config.image_size = big'), ":5: NameError: name 'big' is not defined"),
    (CONFIG.format("config.image_size = int('big')"), ':5: ValueError: invalid literal for int'),
    (CONFIG.format('config.image_size = 1 / 0'), ':5: ZeroDivisionError: division by zero'),
    (
      CONFIG.format('config.modle.width = 3'),
      ':5: AttributeError: \'modle\'. Did you mean "model"',
    ),
    (CONFIG.format("open('/no/such')"), ':5: FileNotFoundError: [Errno 2] No such file'),
    (CONFIG.format('config = = 3'), ':5: SyntaxError: invalid syntax'),
    ('import no_such_module', ':1: ModuleNotFoundError: No module named'),
    ('x = 1', ' has no function get_config; see configs/mvtec.py'),
    ('def get_config():\n  return {}', ' must return a ConfigDict; see configs/mvtec.py'),
  ],
)
def test_a_mistake_in_a_config_file_is_reported_with_its_line(
  content: str, message: str, tmp_path: Path
) -> None:
  config = tmp_path / 'mine.py'
  config.write_text(content)
  line = fails_in_one_line('ocrgan_jax.train', f'--config={config}', f'--workdir={tmp_path}/run')
  assert f'{config}{message}' in line


def test_a_mistake_in_a_file_that_a_config_imports_is_reported_with_its_line(
  tmp_path: Path,
) -> None:
  (tmp_path / 'shared.py').write_text('def size():\n  return 2 ** None\n')
  (tmp_path / 'mine.py').write_text(
    f'import sys\nsys.path.append({str(tmp_path)!r})\nimport shared\n\n'
    'def get_config():\n  return shared.size()\n'
  )
  line = fails_in_one_line('ocrgan_jax.data', f'--config={tmp_path}/mine.py')
  assert line.startswith(f'error: {tmp_path}/shared.py:2: TypeError: unsupported operand')


def test_a_config_that_returns_nothing_is_named(tmp_path: Path) -> None:
  (tmp_path / 'mine.py').write_text('def get_config():\n  pass\n')
  done = run_module('ocrgan_jax.data', f'--config={tmp_path}/mine.py')
  assert done.returncode == 1
  assert f'error: get_config in {tmp_path}/mine.py returns nothing' in done.stderr


@pytest.mark.parametrize(
  ('module', 'flags', 'message'),
  [
    (
      'train',
      [],
      'missing --config and --workdir; for example: --config=mvtec:bottle --workdir=runs/bottle',
    ),
    ('train', ['--config=configs/mvtec.py'], 'missing --workdir; for example: --workdir=runs/'),
    ('data', [], 'missing --config; for example: --config=mvtec:bottle'),
    ('predict', ['a.png'], 'missing --workdir; for example: --workdir=runs/bottle'),
  ],
)
def test_a_missing_flag_is_named_with_an_example(
  module: str, flags: list[str], message: str
) -> None:
  assert fails_in_one_line(f'ocrgan_jax.{module}', *flags).startswith(f'error: {message}')
