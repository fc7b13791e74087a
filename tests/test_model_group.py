from pathlib import Path

import jax
import numpy as np
import pytest

from ocrgan_jax.errors import InputError
from ocrgan_jax.model_group import train_several
from ocrgan_jax.scorer import load
from ocrgan_jax.state import State
from ocrgan_jax.train import train
from tests.conftest import tiny_config

pytestmark = pytest.mark.slow


def assert_close(first: State, second: State) -> None:
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), first, second)


def test_several_runs_leave_what_each_would_alone(
  mvtec_folder: Path, trained: Path, tmp_path: Path
) -> None:
  """The second is longer, so that the first is at its end while it goes on."""
  configs = [tiny_config(mvtec_folder), tiny_config(mvtec_folder, seed=1, train__epochs=3)]
  folders = [tmp_path / 'a', tmp_path / 'b']
  states = train_several(configs, folders)
  assert [int(state.step) for state in states] == [5, 7]
  for state, folder in zip(states, folders, strict=True):
    assert_close(load(folder).state, state)
  assert_close(states[0], load(trained).state)
  assert (tmp_path / 'a/metrics.jsonl').read_text().count('\n') == 4
  with pytest.raises(InputError, match='must be of one shape'):
    train_several([configs[0], tiny_config(mvtec_folder, model__width=4)], folders)


def test_a_group_killed_between_two_saves_goes_on(
  mvtec_folder: Path, trained: Path, tmp_path: Path
) -> None:
  """One run had saved and another not: it catches up, and nothing is lost of either."""
  configs = [tiny_config(mvtec_folder), tiny_config(mvtec_folder, seed=1)]
  whole = train_several(configs, [tmp_path / 'whole/0', tmp_path / 'whole/1'])
  folders = [tmp_path / 'cut/0', tmp_path / 'cut/1']
  train(configs[0], folders[0])
  train(tiny_config(mvtec_folder, seed=1, train__epochs=1), folders[1])
  states = train_several(configs, folders)
  for expected, found in zip(whole, states, strict=True):
    assert int(found.step) == 5
    assert_close(expected, found)
