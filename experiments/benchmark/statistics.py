"""Times the recipe `statistics`: the pass over training images, the fit, scoring and forging."""

import functools
import time
from typing import Any

import jax
import numpy as np

from experiments.benchmark.programs import Shape, first_device, random_batch, scoring_program
from experiments.benchmark.timing import report_rate, time_calls
from ocrgan_jax.configs import default
from ocrgan_jax.core import sharding
from ocrgan_jax.density import gaussian
from ocrgan_jax.forging.mixtures import TRAINING_FAMILIES, forge_mixtures
from ocrgan_jax.model.forward import moments_step
from ocrgan_jax.model.inputs import MIXED_BANDS, to_float
from ocrgan_jax.model.settings import build_model
from ocrgan_jax.model.state import create_state
from ocrgan_jax.networks import frequency_decoupling
from ocrgan_jax.scoring.anomaly_score import Reference


def benchmark_statistics(shape: Shape) -> list[dict[str, Any]]:
  """Times the parts of the preset `statistics`.

  Args:
    shape: size and batch; the width is ignored.

  Returns:
    The rows of the table.
  """
  config, mesh = default.get_config('statistics'), first_device()
  config.image_size = shape.size
  model = build_model(config)
  state, images = create_state(model, 0), random_batch(shape, mesh)
  name = f'{shape.size}, batch {shape.batch}'
  add = sharding.jit_over_batch(
    functools.partial(moments_step, model=model, learned=False), mesh, num_replicated=2
  )
  rate = lambda call: [shape.batch / seconds for seconds in time_calls(call)]
  rows = [report_rate(f'statistics {name}', rate(lambda: add(state, np.int32(32), images)))]
  moments = add(state, np.int32(shape.batch), images)
  start = time.perf_counter()
  fitted = gaussian.fit(moments, model.density, model.density.lists)
  seconds, size = time.perf_counter() - start, sum(x.nbytes for x in jax.tree.leaves(fitted))
  print(f'fit {shape.size}: {seconds:.2f} s; the density takes {size / 2**20:.1f} MiB')
  rows.append({'name': 'fit', 'seconds': seconds, 'mib': size / 2**20})
  reference = Reference(np.ones([shape.size] * 2, np.float32), fitted)
  reference = jax.device_put(reference, sharding.replicated(mesh))
  score = scoring_program(model, mesh)
  rows.append(report_rate(f'score {name}', rate(lambda: score(state, reference, images))))

  def forge(key: jax.Array, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    bands = frequency_decoupling(to_float(images), MIXED_BANDS)
    return forge_mixtures(key, bands, TRAINING_FAMILIES)

  forging = sharding.jit_over_batch(forge, mesh)
  rows.append(
    report_rate(f'forge mixtures {name}', rate(lambda: forging(jax.random.key(0), images)))
  )
  return rows
