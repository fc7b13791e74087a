import shutil
from pathlib import Path

import pytest

from experiments import trials
from ocrgan_jax.heads.measurements import CHANNELS
from ocrgan_jax.training.log import read_lines

SETS = ('casting', 'cookie')


def test_every_statistic_belongs_to_one_branch() -> None:
  assert sorted(i for branch in trials.BRANCHES for i in branch) == list(range(CHANNELS))


@pytest.mark.slow
@pytest.mark.parametrize('trial, model', [('generator', 'ridge'), ('discriminator', 'D')])
def test_finished_sets_are_not_repeated(
  trial: str,
  model: str,
  mvtec_folder: Path,
  tmp_path: Path,
  monkeypatch: pytest.MonkeyPatch,
  capsys: pytest.CaptureFixture,
) -> None:
  for name in SETS:
    shutil.copytree(mvtec_folder / 'tile', tmp_path / 'data' / name)
  for name in ('GENERATOR_STEPS', 'DISCRIMINATOR_STEPS', 'CHECK_EVERY'):
    monkeypatch.setattr(trials, name, 2)
  for _ in range(2):
    text = trials.run(trial, str(tmp_path / 'data'), tmp_path / 'runs', SETS, 32)
  assert capsys.readouterr().err.count(': done') == len(SETS)
  lines = read_lines(tmp_path / f'runs/{trial}-32.jsonl')
  assert [line['set'] for line in lines] == list(SETS)
  found = [x[model]['both'] if trial == 'generator' else x['test'][model] for x in lines]
  cells = ' | '.join(f'{x:.3f}' for x in [*found, sum(found) / len(found)])
  assert f'| {model} | {cells} |' in text
