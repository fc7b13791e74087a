"""Several models of one shape trained side by side: other seeds, or other categories.

Small models leave an accelerator idle. There the states lie in one pytree with a leading
axis for the models, and one program steps all of them. A CPU is busy with one model, and
its batched convolutions are slow: there the models take turns at one program. Either way
each model gets the result that it has alone.
"""

import contextlib
import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jax.sharding import Mesh

from ocrgan_jax import sharding
from ocrgan_jax.errors import InputError
from ocrgan_jax.interruption import Interrupted, deferred
from ocrgan_jax.model import OCRGAN
from ocrgan_jax.settings import build_model
from ocrgan_jax.state import State
from ocrgan_jax.step import train_step
from ocrgan_jax.training_run import TrainingRun, compile_step, open_run, resolve

Metrics = dict[str, jax.Array]


class ModelGroup:
  """K models that are stepped side by side."""

  def __init__(
    self, model: OCRGAN, mesh: Mesh, states: Sequence[State], batch_size: int, *, stacked: bool
  ):
    """Compiles the training step for K models.

    Args:
      model: the static description that they share.
      mesh: of the devices, over which each batch is split.
      states: of the models; they are used up.
      batch_size: of each model.
      stacked: whether one program steps all models at once (for accelerators), or
        each in turn.
    """
    self._stacked = stacked
    if not stacked:
      self._states: Any = list(states)
      self._step = compile_step(model, mesh, states[0], batch_size)
      return
    stack = jax.jit(lambda states: jax.tree.map(lambda *leaves: jnp.stack(leaves), *states))
    self._states = jax.device_put(stack(list(states)), sharding.replicated(mesh))
    count = len(states)

    def step_all(states: State, batches: list[jax.Array]) -> tuple[State, list[Metrics]]:
      states, metrics = jax.vmap(functools.partial(train_step, model=model))(
        states, jnp.stack(batches)
      )
      return states, [jax.tree.map(lambda x, k=k: x[k], metrics) for k in range(count)]

    shape = batch_size, model.image_size, model.image_size, model.channels
    batch = jax.ShapeDtypeStruct(shape, np.uint8)
    jitted = sharding.jit_over_batch(step_all, mesh, donate=True)
    self._step = jitted.lower(self._states, [batch] * count).compile()

  def step(self, batches: Sequence[jax.Array]) -> list[Metrics]:
    """Steps every model with its batch and returns the losses of each."""
    if self._stacked:
      self._states, metrics = self._step(self._states, list(batches))
      return metrics
    results = [self._step(*pair) for pair in zip(self._states, batches, strict=True)]
    self._states = [state for state, _ in results]
    return [metrics for _, metrics in results]

  def state(self, k: int) -> State:
    """The state of model k; the next step uses it up."""
    if self._stacked:
      return jax.tree.map(lambda x: x[k], self._states)
    return self._states[k]


def catch_up(run: TrainingRun, step: int) -> State:
  """Trains one run alone to where the others stand: they were interrupted at different steps.

  Args:
    run: that is behind.
    step: to come to.

  Returns:
    Its state there.
  """
  print(f'one run is at step {run.step}, others at {step}: it catches up', file=sys.stderr)
  with run.logging():
    state = run.train_to(run.state, step)
  run.step = step
  return state


def train_several(
  configs: Sequence[ml_collections.ConfigDict], workdirs: Sequence[str | Path]
) -> list[State]:
  """Trains several models of one shape side by side, each with the result that it has alone.

  Args:
    configs: they may differ in the seed and in the data.
    workdirs: a folder for each.

  Returns:
    The last state of each.

  Raises:
    InputError: as `train.train`, or if the models or their batches are not of one shape.
  """
  mesh = sharding.make_mesh()
  configs = [resolve(config) for config in configs]
  models = [build_model(config) for config in configs]
  if len(set(models)) > 1:
    raise InputError('models that train together must be of one shape, loss and optimiser')
  with contextlib.ExitStack() as stack:
    runs = [
      stack.enter_context(open_run(config, Path(workdir), models[0], mesh))
      for config, workdir in zip(configs, workdirs, strict=True)
    ]
    states, begin = [run.state for run in runs], max(run.step for run in runs)
    if all(run.finished for run in runs):
      print(f'nothing left to train: the runs have come to step {begin}', file=sys.stderr)
      return states
    runs[0].tell_outlook()
    if not models[0].trains:
      for run in runs:
        if not run.finished:
          run.save_untrained()
      return states
    sizes = sorted({run.batch_size for run in runs})
    if len(sizes) > 1:
      raise InputError(
        f'the runs do not have one batch_size ({", ".join(map(str, sizes))}); train them one by one'
      )
    for k, run in enumerate(runs):
      if run.step < min(begin, run.num_steps):
        states[k] = catch_up(run, min(begin, run.num_steps))
    going = [k for k, run in enumerate(runs) if run.num_steps > begin]
    if not going:
      return states
    stacked = mesh.devices.flat[0].platform != 'cpu'
    group = ModelGroup(
      models[0], mesh, [states[k] for k in going], runs[0].batch_size, stacked=stacked
    )
    for k in going:
      stack.enter_context(runs[k].logging(shows_progress=k == going[0]))
    metrics: list[Metrics] = []
    last = max(run.num_steps for run in runs)
    interruption = stack.enter_context(deferred())
    for step in range(begin + 1, last + 1):
      images = [runs[k].next_batch(interruption) for k in going]
      given = [part for part in images if part is not None]
      if len(given) < len(images):
        for place, k in enumerate(going):
          if images[place] is not None:
            runs[k].batches.step_back()
          if begin < step - 1 < runs[k].num_steps:
            runs[k].save_interrupted(step - 1, group.state(place))
        raise Interrupted(interruption.number, interruption.told_after(step - 1))
      batches = [sharding.put_batch(part, mesh) for part in given]
      jax.block_until_ready(metrics)
      metrics = group.step(batches)
      for place, k in enumerate(going):
        run = runs[k]
        if step > run.num_steps:  # at its end, while a longer run goes on
          continue
        run.log_step(step, metrics[place])
        if step in run.save_at:
          run.validate_and_save(group.state(place))
        if step == run.num_steps:
          states[k] = jax.tree.map(jnp.copy, group.state(place))
      if any(step in runs[k].save_at for k in going):
        for k in going:
          runs[k].log.resume_timing()
      if step < last and interruption.agreed(step):
        for place, k in enumerate(going):
          if step < runs[k].num_steps:
            runs[k].save_interrupted(step, group.state(place))
        raise Interrupted(interruption.number, interruption.told_after(step))
    return states
