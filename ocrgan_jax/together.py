"""Several models of one shape trained side by side: other seeds, or other categories.

Small models leave an accelerator idle. There the states lie in one pytree with a leading
axis for the models, and one program steps all of them. A CPU is busy with one model, and
its batched convolutions are slow: there the models take turns at one program. Either way
each model gets the result that it has alone.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ocrgan_jax import sharding
from ocrgan_jax.state import OCRGAN, State
from ocrgan_jax.step import train_step

Metrics = dict[str, jax.Array]


class Together(NamedTuple):
  """How K models are stepped, from `train_together`; K may be 1.

  Attributes:
    join: the K states → what `step` takes.
    step: joined states and K batches → joined states and K dicts of losses. The
      states given are used up.
    pick: joined states and k → the state of model k.
  """

  join: Callable[[Sequence[State]], Any]
  step: Callable[[Any, Sequence[jax.Array]], tuple[Any, list[Metrics]]]
  pick: Callable[[Any, int], State]


def train_together(
  model: OCRGAN, mesh: Mesh, states: Sequence[State], batch_size: int, *, stacked: bool
) -> Together:
  """Compiles the training step for K models.

  Args:
    model: the static description that they share.
    mesh: of the devices, over which each batch is split.
    states: of the models, or their shapes.
    batch_size: of each model.
    stacked: whether one program steps all models at once (for accelerators), or each
      in turn. With one model there is no difference.

  Returns:
    The functions that train them.
  """
  step_one = functools.partial(train_step, model=model)
  batch = jax.ShapeDtypeStruct((batch_size, model.image_size, model.image_size, 3), np.uint8)
  count = len(states)
  if count == 1 or not stacked:
    one = sharding.jit_over_batch(step_one, mesh, donate=True).lower(states[0], batch).compile()

    def take_turns(
      states: list[State], batches: Sequence[jax.Array]
    ) -> tuple[list[State], list[Metrics]]:
      results = [one(*pair) for pair in zip(states, batches, strict=True)]
      return [state for state, _ in results], [metrics for _, metrics in results]

    return Together(list, take_turns, lambda states, k: states[k])

  def step_all(states: State, batches: list[jax.Array]) -> tuple[State, list[Metrics]]:
    states, metrics = jax.vmap(step_one)(states, jnp.stack(batches))
    return states, [jax.tree.map(lambda x, k=k: x[k], metrics) for k in range(count)]

  stack = jax.jit(lambda states: jax.tree.map(lambda *leaves: jnp.stack(leaves), *states))
  joined = jax.eval_shape(stack, list(states))
  compiled = sharding.jit_over_batch(step_all, mesh, donate=True).lower(joined, [batch] * count)
  return Together(
    lambda states: jax.device_put(stack(list(states)), sharding.replicated(mesh)),
    compiled.compile(),
    lambda states, k: jax.tree.map(lambda x: x[k], states),
  )
