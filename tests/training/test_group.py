from pathlib import Path

import jax
import numpy as np
import pytest

from ocrgan_jax.core import sharding
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.inference.loading import load
from ocrgan_jax.model.settings import build_model
from ocrgan_jax.model.state import State
from ocrgan_jax.training.group import train_several
from ocrgan_jax.training.log import read_lines
from ocrgan_jax.training.run import open_run, resolve
from ocrgan_jax.training.train import train
from tests.conftest import tiny_config

pytestmark = pytest.mark.slow


def assert_close(first: State, second: State) -> None:
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), first, second)


def test_runs_in_a_group_equal_runs_alone(
  mvtec_folder: Path, trained: Path, tmp_path: Path
) -> None:
  """The second run is longer, so it continues after the first has finished."""
  configs = [tiny_config(mvtec_folder), tiny_config(mvtec_folder, seed=1, train__epochs=3)]
  folders = [tmp_path / 'a', tmp_path / 'b']
  states = train_several(configs, folders)
  assert [int(state.step) for state in states] == [5, 7]
  for state, folder in zip(states, folders, strict=True):
    assert_close(load(folder).state, state)
  assert_close(states[0], load(trained).state)
  assert_close(states[1], train(configs[1], tmp_path / 'alone'))
  assert (tmp_path / 'a/metrics.jsonl').read_text().count('\n') == 4
  # Validating and saving one run takes seconds that do not count for the other.
  first, second = (read_lines(folder / 'metrics.jsonl')[0] for folder in folders)
  assert first['step'] == second['step'] == 3
  assert 0.5 < first['images_per_second'] / second['images_per_second'] < 2
  with pytest.raises(InputError, match='must have the same shape'):
    train_several([configs[0], tiny_config(mvtec_folder, model__width=4)], folders)


def test_a_group_killed_between_two_saves_resumes(
  mvtec_folder: Path, trained: Path, tmp_path: Path
) -> None:
  """Only one run had saved; the other catches up, and neither loses anything."""
  configs = [tiny_config(mvtec_folder), tiny_config(mvtec_folder, seed=1)]
  whole = train_several(configs, [tmp_path / 'whole/0', tmp_path / 'whole/1'])
  folders = [tmp_path / 'cut/0', tmp_path / 'cut/1']
  train(configs[0], folders[0])
  train(tiny_config(mvtec_folder, seed=1, train__epochs=1), folders[1])
  states = train_several(configs, folders)
  for expected, found in zip(whole, states, strict=True):
    assert int(found.step) == 5
    assert_close(expected, found)


def test_one_failing_run_does_not_stop_the_others(
  mvtec_folder: Path, trained: Path, tmp_path: Path
) -> None:
  """The weights of the second G are NaN after the first step."""
  good, bad = tiny_config(mvtec_folder), tiny_config(mvtec_folder, seed=1)
  with open_run(resolve(bad), tmp_path / 'bad', build_model(bad), sharding.make_mesh()) as run:
    next(run.batches)
    params = jax.tree.map(lambda x: x * np.nan, run.state.generator.params)
    generator = run.state.generator.replace(params=params)
    with run.logging():
      run.save_interrupted(1, run.state.replace(step=run.state.step + 1, generator=generator))
  for _ in range(2):  # started again, it is no different
    with pytest.raises(InputError, match='bad/not_finite.json'):
      train_several([bad, good], [tmp_path / 'bad', tmp_path / 'good'])
    assert_close(load(tmp_path / 'good').state, load(trained).state)
