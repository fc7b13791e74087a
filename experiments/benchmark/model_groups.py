"""Times several models of one shape: in turn, as in training, and stacked in one program."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from experiments.benchmark.programs import (
  Shape,
  first_device,
  model_of,
  random_batch,
  training_program,
)
from experiments.benchmark.timing import report_rate, time_calls
from ocrgan_jax.core import sharding
from ocrgan_jax.model.state import State
from ocrgan_jax.training.run import new_state
from ocrgan_jax.training.step import train_step


def benchmark_group(shape: Shape, dtype: str, count: int) -> list[dict[str, Any]]:
  """Measures total images/s of one model, of K models in turn, and of K stacked with `vmap`.

  Args:
    shape: shape of each model and its batch.
    dtype: type of the computation.
    count: K.

  Returns:
    The rows of the table.
  """
  mesh, model = first_device(), model_of(shape, dtype)
  states = [new_state(model, mesh)(seed) for seed in range(count)]
  stack = jax.jit(lambda states: jax.tree.map(lambda *leaves: jnp.stack(leaves), *states))
  stacked = stack(states)
  batch = random_batch(shape, mesh)
  train = training_program(model, mesh).lower(sharding.shapes_of(states[0]), batch).compile()
  states = [sharding.in_layout(train, state) for state in states]

  def in_turn(models: int) -> list[Any]:
    losses = []
    for k in range(models):
      states[k], of_one = train(states[k], batch)
      losses.append(of_one)
    return losses

  def step_all(states: State, images: jax.Array) -> Any:
    return jax.vmap(functools.partial(train_step, model=model), (0, None))(states, images)

  stacked_step = sharding.jit_over_batch(step_all, mesh, donate=True)
  train_all = stacked_step.lower(sharding.shapes_of(stacked), batch).compile()
  stacked = sharding.in_layout(train_all, stacked)

  def at_once() -> Any:
    nonlocal stacked
    stacked, losses = train_all(stacked, batch)
    return losses

  calls = {
    (1, 'alone'): lambda: in_turn(1),
    (count, 'in turn'): lambda: in_turn(count),
    (count, 'stacked'): at_once,
  }
  return [
    report_rate(
      f'train {shape} {dtype}, {models} model(s) {how}',
      [models * shape.batch / seconds for seconds in time_calls(call)],
    )
    for (models, how), call in calls.items()
  ]
