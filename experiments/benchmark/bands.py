"""Times the recipe `bands`: measuring the training images, the fit, and scoring."""

import time
from typing import Any

import jax
import numpy as np

from experiments.benchmark.programs import Shape, first_device, random_batch
from experiments.benchmark.timing import report_rate, time_calls
from ocrgan_jax.configs import default
from ocrgan_jax.core import sharding
from ocrgan_jax.heads.fitting import fit
from ocrgan_jax.heads.judgement import judge
from ocrgan_jax.heads.measurements import Measurements, measure
from ocrgan_jax.model.inputs import to_float
from ocrgan_jax.model.settings import build_model

TRAINED_ON = 300  # images; the fit works on n×n matrices


def benchmark_bands(shape: Shape, count: int = TRAINED_ON) -> list[dict[str, Any]]:
  """Times the parts of the recipe `bands`.

  Args:
    shape: size and batch; the width is ignored.
    count: number of images to fit to.

  Returns:
    The rows of the table.
  """
  config, mesh = default.get_config('bands'), first_device()
  config.image_size = shape.size
  heads, images = build_model(config).score.heads_on, random_batch(shape, mesh)
  name = f'{shape.size}, batch {shape.batch}'
  measuring = sharding.jit_over_batch(lambda x: measure(to_float(x)), mesh, num_replicated=0)
  rate = lambda call: [shape.batch / seconds for seconds in time_calls(call)]
  rows = [report_rate(f'bands {name}', rate(lambda: measuring(images)))]
  one = jax.tree.map(np.asarray, measuring(images))
  rng, batches = np.random.default_rng(0), -(-count // shape.batch)

  def many(x: np.ndarray) -> np.ndarray:  # noise, so that no two images are the same
    x = np.concatenate([x] * batches)[:count]
    return np.asarray(x * rng.uniform(0.9, 1.1, x.shape), np.float32)

  measured = Measurements(many(one.statistics), many(one.detail), None)
  start = time.perf_counter()
  detector = fit(measured, np.arange(count), heads).detector
  seconds, size = time.perf_counter() - start, sum(x.nbytes for x in jax.tree.leaves(detector))
  print(f'fit {shape.size} to {count} images: {seconds:.2f} s; it takes {size / 2**20:.1f} MiB')
  rows.append({'name': 'fit', 'images': count, 'seconds': seconds, 'mib': size / 2**20})
  detector = jax.device_put(detector, sharding.replicated(mesh))
  for what in ('score', 'map'):
    judging = sharding.jit_over_batch(
      lambda d, x, what=what: getattr(judge(d, to_float(x)), what), mesh, num_replicated=1
    )
    call = lambda judging=judging: judging(detector, images)
    rows.append(report_rate(f'{what} {name}', rate(call)))
  return rows
