"""Signals at many moments of many commands: each ends with its own status and one word."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import psutil
import pytest

from ocrgan_jax.inference.loading import load
from tests.conftest import REPOSITORY, tiny_flags

BOTH = pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
LONG = [f'--config.train.{x}' for x in ('epochs=12', 'log_every=1', 'checkpoint_every=12')]
ENDLESS = ['--config.train.epochs=500', '--config.train.checkpoint_every=500']
STREAMED = ['--config.data.memory_gib=0', '--config.data.workers=2', '--config.train.log_every=1']
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


def start_training(data: Path, workdir: Path, *flags: str) -> subprocess.Popen[str]:
  config = ['--config=configs/mvtec.py:tile', f'--config.data_dir={data}', f'--workdir={workdir}']
  return start('ocrgan_jax.train', *config, *tiny_flags(), *flags)


def wait_until(process: subprocess.Popen[str], happened: Callable[[], bool]) -> None:
  while not happened():
    assert process.poll() is None
    time.sleep(0.002)


def wait_for_rows(process: subprocess.Popen[str], file: Path, count: int) -> None:
  wait_until(process, lambda: file.exists() and file.read_text().count('\n') > count)


def ending(process: subprocess.Popen[str], number: signal.Signals) -> str:
  """What a process wrote to stderr that a signal ended."""
  told = process.communicate(timeout=300)[1]
  assert process.returncode == 128 + number and 'Traceback' not in told, told
  assert 'stopped' in told
  return told


def handles(process: subprocess.Popen[str], number: signal.Signals) -> bool:
  """Whether the process handles a signal, as the system tells it."""
  status = Path(f'/proc/{process.pid}/status').read_text()
  (caught,) = [line.split()[1] for line in status.splitlines() if line.startswith('SigCgt')]
  return bool(int(caught, 16) >> (number - 1) & 1)


@pytest.mark.parametrize('command', COMMANDS)
def test_signals_while_a_command_starts(command: str) -> None:
  """`ocrgan …` and `python -m ocrgan_jax.…`, before their imports, which take seconds."""
  for name in (['ocrgan_jax', command], [f'ocrgan_jax.{command}']):
    process = start(*name, *COMMANDS[command])
    wait_until(process, lambda process=process: handles(process, signal.SIGTERM))
    assert 'jaxlib' not in Path(f'/proc/{process.pid}/maps').read_text()
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    ending(process, signal.SIGTERM)


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


@BOTH
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
try:{DROPPED[place]}
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
@BOTH
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
  process = start_training(mvtec_folder, tmp_path / 'run', *ENDLESS)
  for line in process.stderr:
    if 'compiling the training step' in line:
      break
  time.sleep(1.5)
  process.send_signal(number)
  if pause:
    time.sleep(pause)
    process.send_signal(number)
  ending(process, number)


@pytest.mark.slow
@BOTH
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
  wait_for_rows(process, table, 20)
  process.send_signal(number)
  told = ending(process, number)
  lines = table.read_text().splitlines()
  assert f'{table} has {len(lines) - 1} of 1500 rows' in told
  assert {line.count(',') for line in lines[1:]} <= {7, 8} and lines[-1].strip()


@pytest.fixture(scope='module')
def whole(mvtec_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
  """The folder of an uninterrupted training."""
  workdir = tmp_path_factory.mktemp('interruption') / 'whole'
  process = start_training(mvtec_folder, workdir, *LONG)
  assert process.communicate()[1] and process.returncode == 0
  return workdir


@pytest.mark.slow
@BOTH
def test_a_signal_saves_and_the_same_command_resumes(
  number: signal.Signals, whole: Path, mvtec_folder: Path, tmp_path: Path
) -> None:
  workdir = tmp_path / 'run'
  process = start_training(mvtec_folder, workdir, *LONG)
  wait_for_rows(process, workdir / 'metrics.jsonl', 2)
  process.send_signal(number)
  told = ending(process, number)
  assert f'{number.name}: saving after this step; repeat to stop immediately' in told
  assert 'which is saved; run the same command again to continue' in told
  assert [path.name for path in (workdir / 'checkpoints').iterdir()] == []
  again = start_training(mvtec_folder, workdir, *LONG)
  assert 'resuming from step' in again.communicate()[1]
  assert not (workdir / 'interrupted').exists()
  jax.tree.map(np.testing.assert_array_equal, load(workdir).state, load(whole).state)


@pytest.mark.slow
@BOTH
def test_a_signal_to_all_processes_saves(
  number: signal.Signals, mvtec_folder: Path, tmp_path: Path
) -> None:
  """Terminals send Ctrl-C, and clusters SIGTERM, to every process."""
  workdir = tmp_path / 'run'
  process = start_training(mvtec_folder, workdir, *STREAMED, *ENDLESS)
  wait_for_rows(process, workdir / 'metrics.jsonl', 2)
  os.killpg(process.pid, number)
  told = ending(process, number)
  (saved,) = (workdir / 'interrupted').iterdir()
  assert f'stopped after step {saved.name}, which is saved' in told
  state = ocp.StandardCheckpointer().restore(saved / 'state')
  assert int(state['step']) == int(saved.name)


@pytest.mark.slow
def test_workers_end_when_their_training_is_killed(mvtec_folder: Path, tmp_path: Path) -> None:
  workdir = tmp_path / 'run'
  process = start_training(mvtec_folder, workdir, *STREAMED, *ENDLESS)
  wait_for_rows(process, workdir / 'metrics.jsonl', 2)
  workers = psutil.Process(process.pid).children(recursive=True)
  assert len(workers) >= 2
  os.kill(process.pid, signal.SIGKILL)
  process.communicate()
  assert psutil.wait_procs(workers, timeout=20)[1] == []
