"""Watched folders, with a scorer that reads a verdict from each file."""

import json
import math
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.inference import predict_files, watching
from ocrgan_jax.inference.prediction import Prediction
from ocrgan_jax.inference.shift import LEAST
from ocrgan_jax.inference.watched_table import notes_of
from ocrgan_jax.inference.watching import PAUSES, watch
from tests.inference.test_predict import read_csv
from tests.inference.test_shift import calibrated


class Reader:
  """A scorer: files hold 'normal' or 'anomalous'; anything else is unreadable."""

  calibration = calibrated(np.linspace(0, 1, 40))
  compared_with = 'training photographs'

  def stream_files(self, paths: list[Path], first: int = 0, **options: Any) -> Iterator[Prediction]:
    for number, path in enumerate(paths, first):
      text = path.read_text()
      if text in ('normal', 'anomalous'):
        yield Prediction(str(path), len(text), text, 0.1, '', f'maps/{number:06}_{path.stem}.jpg')
      else:
        yield Prediction(str(path), math.nan, '', 0.1, f'not an image: {text}')


@pytest.fixture
def line(tmp_path: Path) -> Path:
  (tmp_path / 'line').mkdir()
  return tmp_path / 'line'


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, line: Path) -> Callable[..., tuple[int, int]]:
  """Watches the folder; each step of a script happens after a scan, then Ctrl-C."""

  def run_script(*steps: Any, table: str = 'out.csv') -> tuple[int, int]:
    clock, script = [0.0], iter([*steps, None, None])

    def sleep(seconds: float) -> None:
      clock[0] += seconds
      try:
        step = next(script)
      except StopIteration:
        raise KeyboardInterrupt from None
      if isinstance(step, float):
        clock[0] += step
      elif step:
        name, text = step
        (line / name).write_text(text)

    monkeypatch.setattr(watching.time, 'sleep', sleep)
    monkeypatch.setattr(watching.time, 'monotonic', lambda: clock[0])
    return watch(Reader(), [line, line / 'sub' / '..'], line / table)

  return run_script


def rows(line: Path) -> list[tuple[str, str]]:
  return [
    (Path(row['path']).name, row['error'] or row['decision']) for row in read_csv(line / 'out.csv')
  ]


WAIT = [None, *PAUSES, None]  # until an unreadable file gets its row


def test_a_file_that_is_written_slowly_counts_once_it_is_readable(
  line: Path, run: Callable[..., tuple[int, int]]
) -> None:
  slow = [('a.png', 'no'), None, 0.7, ('a.png', 'norm'), None, None, ('a.png', 'normal')]
  assert run(*slow) == (0, 0)
  assert rows(line) == [('a.png', 'normal')]


def test_an_unreadable_file_gets_one_row_and_another_when_it_becomes_readable(
  line: Path, run: Callable[..., tuple[int, int]], capsys: pytest.CaptureFixture[str]
) -> None:
  broken = ('a.png', 'not an image: no')
  assert run(('a.png', 'no'), None, None) == (0, 1)  # stopped before the last trial
  assert rows(line) == [broken]
  assert run(*WAIT, 100.0, 100.0) == (0, 1)  # again, without a second row
  assert rows(line) == [broken]
  assert run(*WAIT, ('a.png', 'anomalous')) == (1, 0)
  assert rows(line) == [broken, ('a.png', 'anomalous')]
  assert f'unreadable {line}/a.png: not an image: no' in capsys.readouterr().out


def test_a_changed_file_is_scored_again_also_after_a_restart(
  line: Path, run: Callable[..., tuple[int, int]], capsys: pytest.CaptureFixture[str]
) -> None:
  assert run(('last.png', 'normal'), ('b.png', 'normal'), None, ('last.png', 'anomalous')) == (1, 0)
  expected = [('last.png', 'normal'), ('b.png', 'normal'), ('last.png', 'anomalous')]
  assert sorted(rows(line)) == sorted(expected)
  (line / 'last.png').write_text('normal')
  os.utime(line / 'last.png', ns=(0, 0))  # as a copy that keeps its time
  assert run(None) == (0, 0)
  assert rows(line)[3:] == [('last.png', 'normal')]
  assert 'out.csv already has 2 images; those that have not changed' in capsys.readouterr().err
  assert len({row['map'] for row in read_csv(line / 'out.csv')}) == 4
  # A table without notes, as earlier versions wrote it: what is newer than the table has changed.
  notes_of(line / 'out.csv').unlink()
  (line / 'last.png').write_text('anomalous')
  later = (line / 'out.csv').stat().st_mtime_ns + 10**9
  os.utime(line / 'last.png', ns=(later, later))
  assert run(None) == (1, 0)
  assert rows(line)[4:] == [('last.png', 'anomalous')]


def test_what_is_not_scored_yet_is_said(
  line: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
  (line / '.trash').mkdir()
  (line / '.trash/old.png').write_text('anomalous')
  (line / 'a.png').write_text('x')

  def change(seconds: float) -> None:
    (line / 'a.png').write_text((line / 'a.png').read_text() + 'x')
    if len((line / 'a.png').read_text()) > 9:
      raise KeyboardInterrupt

  monkeypatch.setattr(watching.time, 'sleep', change)
  assert watch(Reader(), [line], line / 'out.csv') == (0, 0)
  assert f'1 file(s) not scored yet: {line}/a.png' in capsys.readouterr().err


@pytest.mark.parametrize('name', ['out.csv', 'out.jsonl'])
def test_a_table_with_other_columns_is_refused_in_one_line(
  name: str, line: Path, run: Callable[..., tuple[int, int]]
) -> None:
  row = {'path': 'a.png', 'score': 1.0, 'decision': 'normal'}
  text = ','.join(row) + '\na.png,1,normal\n'
  (line / name).write_text(json.dumps(row) + '\n' if name.endswith('l') else text)
  before = (line / name).read_text()
  with pytest.raises(InputError, match='out.* has the columns path, score, decision, but this ver'):
    run(table=name)
  (line / name).write_text(before[:-3])
  with pytest.raises(InputError, match='is not a table of predictions, or is truncated'):
    run(table=name)
  (line / name).unlink()
  assert run(('a.png', 'normal'), ('b.png', 'no'), *WAIT, table=name) == (0, 1)
  assert run(('a.png', 'anomalous'), table=name) == (1, 1)


def test_it_warns_once_when_the_photographs_are_unlike_training(
  line: Path,
  run: Callable[..., tuple[int, int]],
  monkeypatch: pytest.MonkeyPatch,
  capsys: pytest.CaptureFixture[str],
) -> None:
  """The reader's scores are the lengths of the texts, far above those of training."""
  for i in range(3 * LEAST):
    (line / f'{i:02}.png').write_text('normal')
  monkeypatch.setattr(predict_files, 'load', lambda *_, **__: Reader())
  for score, count in (
    (run, LEAST),
    (lambda: predict_files.predict_files('', [f'{line}/*.png'], line / 'all.csv'), 3 * LEAST),
  ):
    score()
    (warning,) = re.findall('warning: (.*)', capsys.readouterr().err)
    assert warning.startswith(f'these {count} photographs as a whole are unlike those of')
