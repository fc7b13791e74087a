import functools
from pathlib import Path

import jax
import numpy as np
import pytest

from ocrgan_jax import sharding
from ocrgan_jax.errors import InputError
from ocrgan_jax.scorer import load
from ocrgan_jax.state import State, create_state
from ocrgan_jax.together import train_together
from ocrgan_jax.train import train_several
from tests.conftest import tiny_config, tiny_model


def assert_close(first: State, second: State) -> None:
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), first, second)


@pytest.mark.parametrize('stacked', [False, True])
def test_models_trained_together_are_those_trained_alone(stacked: bool) -> None:
  """Three seeds, five steps, in turns and in one program."""
  model, mesh = tiny_model(), sharding.make_mesh()
  make = jax.jit(functools.partial(create_state, model))
  new_states = lambda: [make(seed) for seed in range(3)]
  images = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 32, 32, 3), dtype=np.uint8)

  def train_alone(k: int) -> State:
    alone = train_together(model, mesh, [make(k)], 4, stacked=False)
    joined = alone.join([make(k)])
    for batches in images:
      joined, _ = alone.step(joined, [batches[k]])
    return alone.pick(joined, 0)

  together = train_together(model, mesh, new_states(), 4, stacked=stacked)
  joined = together.join(new_states())
  for batches in images:
    joined, metrics = together.step(joined, list(batches))
  assert len(metrics) == 3 and metrics[0]['generator'] != metrics[1]['generator']
  for k in (0, 2):
    assert_close(together.pick(joined, k), train_alone(k))


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
