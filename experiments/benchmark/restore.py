"""Times the recipe `restore`: a training step, and scoring with its densities."""

import functools
from typing import Any

import jax
import numpy as np

from experiments.benchmark.programs import (
  Shape,
  first_device,
  random_batch,
  scoring_program,
  training_program,
)
from experiments.benchmark.timing import report_rate, time_calls
from ocrgan_jax.configs import default
from ocrgan_jax.core import sharding
from ocrgan_jax.density import gaussian
from ocrgan_jax.density.moments import Moments
from ocrgan_jax.model.forward import moments_step
from ocrgan_jax.model.settings import build_model
from ocrgan_jax.scoring.anomaly_score import Reference
from ocrgan_jax.training.run import new_state


def benchmark_restore(size: int, batch: int) -> list[dict[str, Any]]:
  """Times the preset `restore`.

  Args:
    size: side of the images.
    batch: batch size for scoring; training uses the preset's own.

  Returns:
    The rows of the table.
  """
  config, mesh = default.get_config('restore'), first_device()
  config.image_size = size
  model = build_model(config)
  state, everywhere = new_state(model, mesh)(0), sharding.replicated(mesh)
  images = random_batch(Shape(size, 0, batch), mesh)
  few = random_batch(Shape(size, 0, config.train.batch_size), mesh)

  def moments(*, learned: bool) -> Moments:
    step = functools.partial(moments_step, model=model, learned=learned)
    added = sharding.jit_over_batch(step, mesh, num_replicated=2)
    return added(state, np.int32(batch), images)

  def fit(lists: tuple[str, ...], of: Moments) -> tuple[gaussian.Gaussians, ...]:
    return gaussian.fit(of, model.density, lists, model.statistics)

  bands = fit(model.density.band_lists, moments(learned=False))
  bands = gaussian.pad_components(bands, model.density.context)
  state = state.replace(density=jax.device_put(bands, everywhere))
  learned = fit(model.density.network_lists, moments(learned=True))
  mib = sum(x.nbytes for x in jax.tree.leaves((bands, learned))) / 2**20
  print(f'restore {size}: the density takes {mib:.1f} MiB')
  reference = jax.device_put(Reference(np.ones((1, size, size), np.float32), learned), everywhere)
  score = scoring_program(model, mesh)
  train = training_program(model, mesh).lower(sharding.shapes_of(state), few).compile()
  rate = lambda count, call: [count / seconds for seconds in time_calls(call)]
  scored = rate(batch, lambda: score(state, reference, images))
  rows = [report_rate(f'restore: score {size}, batch {batch}', scored)]

  state = sharding.in_layout(train, state)

  def step() -> Any:
    nonlocal state
    state, losses = train(state, few)
    return losses

  trained = rate(len(few), step)
  return [
    {'name': 'restore: the density', 'mib': mib},
    *rows,
    report_rate(f'restore: train {size}, batch {len(few)}', trained),
  ]
