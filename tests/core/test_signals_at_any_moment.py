"""Signals at many moments of many commands: each ends with its own status and one word."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, tiny_flags

COMMANDS = {
  'data': ['--config=configs/mvtec.py:tile', '--config.data_dir=/no/such'],
  'train': ['--config=configs/mvtec.py:tile', '--config.data_dir=/no/such', '--workdir=/no/such'],
  'evaluate': ['--workdir=/no/such'],
  'calibrate': ['--workdir=/no/such'],
  'predict': ['--workdir=/no/such', '.'],
  'export': ['--workdir=/no/such'],
  'serve': ['--workdir=/no/such'],
}


def start(*command: str) -> subprocess.Popen[str]:
  return subprocess.Popen(
    [sys.executable, '-m', *command],
    cwd=REPOSITORY,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    start_new_session=True,
  )


def wait_until(process: subprocess.Popen[str], happened: Callable[[], bool]) -> None:
  while not happened():
    assert process.poll() is None
    time.sleep(0.002)


def handles(process: subprocess.Popen[str], number: signal.Signals) -> bool:
  """Whether the process handles a signal, as the system tells it."""
  status = Path(f'/proc/{process.pid}/status').read_text()
  (caught,) = [line.split()[1] for line in status.splitlines() if line.startswith('SigCgt')]
  return bool(int(caught, 16) >> (number - 1) & 1)


def assert_stopped(process: subprocess.Popen[str], number: signal.Signals) -> None:
  told = process.communicate(timeout=300)[1]
  assert process.returncode == 128 + number, told
  assert 'stopped' in told and 'Traceback' not in told, told


@pytest.mark.parametrize('command', COMMANDS)
def test_signals_while_a_command_starts(command: str) -> None:
  """`ocrgan …` and `python -m ocrgan_jax.…`, before their imports, which take seconds."""
  for name in (['ocrgan_jax', command], [f'ocrgan_jax.{command}']):
    process = start(*name, *COMMANDS[command])
    wait_until(process, lambda process=process: handles(process, signal.SIGTERM))
    assert 'jaxlib' not in Path(f'/proc/{process.pid}/maps').read_text()
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    assert_stopped(process, signal.SIGTERM)


DROPPED = {
  'destructor': """
class Last:
  def __del__(self):
    send()
Last()
""",
  'garbage collector': """
import gc
gc.callbacks.append(lambda phase, _: send() if phase == 'start' else None)
gc.collect()
""",
}


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize('place', DROPPED)
def test_a_signal_is_not_lost_where_python_drops_exceptions(
  place: str, number: signal.Signals
) -> None:
  code = f"""
import os, time
from ocrgan_jax.core import signals
signals.raise_on_signals()
sent = []
def send():
  if not sent:
    sent.append(os.kill(os.getpid(), {int(number)}))
    time.sleep(0)
try:{DROPPED[place].replace(chr(10), chr(10) + '  ')}
  time.sleep(30)
except (KeyboardInterrupt, signals.Interrupted) as stop:
  print(type(stop).__name__)
"""
  ended = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, timeout=20, check=False
  )
  assert not ended.stderr, ended.stderr
  assert ended.stdout.strip() == ('KeyboardInterrupt' if number == signal.SIGINT else 'Interrupted')


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize('pause', [None, 0.02, 0.3])
def test_signals_while_xla_compiles(
  number: signal.Signals,
  pause: float | None,
  mvtec_folder: Path,
  tmp_path: Path,
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  """One signal, or two some time apart; without a cache, so that compilation takes seconds."""
  monkeypatch.setenv('JAX_ENABLE_COMPILATION_CACHE', 'false')
  monkeypatch.setenv('JAX_DISABLE_MOST_OPTIMIZATIONS', 'false')
  process = start(
    'ocrgan_jax.train',
    '--config=configs/mvtec.py:tile',
    *tiny_flags(),
    f'--config.data_dir={mvtec_folder}',
    f'--workdir={tmp_path}/run',
    '--config.train.epochs=500',
  )
  for line in process.stderr:
    if 'compiling the training step' in line:
      break
  time.sleep(1.5)
  process.send_signal(number)
  if pause:
    time.sleep(pause)
    process.send_signal(number)
  assert_stopped(process, number)


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_signals_while_photographs_are_scored(
  number: signal.Signals, trained: Path, mvtec_folder: Path, tmp_path: Path
) -> None:
  """The rows that are there are complete, and it says how many of how many."""
  many, table = tmp_path / 'many', tmp_path / 'out.csv'
  for i in range(300):
    (many / f'{i:03}').mkdir(parents=True)
    for path in (mvtec_folder / 'tile/test/good').iterdir():
      os.link(path, many / f'{i:03}' / path.name)
  process = start('ocrgan_jax.predict', f'--workdir={trained}', f'--output={table}', str(many))
  wait_until(process, lambda: table.exists() and table.read_text().count('\n') > 20)
  process.send_signal(number)
  told = process.communicate(timeout=300)[1]
  assert process.returncode == 128 + number and 'Traceback' not in told, told
  lines = table.read_text().splitlines()
  assert f'{table} has {len(lines) - 1} of 1500 rows' in told and 'stopped' in told
  assert {line.count(',') for line in lines[1:]} <= {7, 8} and lines[-1].strip()
