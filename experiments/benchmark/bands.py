"""Times the recipe `bands`: measuring the training images, the fit, and scoring."""

import functools
import time

import jax
import numpy as np

from experiments.benchmark.programs import Shape, first_device, random_batch
from experiments.benchmark.timing import rate_row, time_calls
from experiments.rows import Row
from ocrgan_jax.configs import default
from ocrgan_jax.core import sharding
from ocrgan_jax.heads.fitting import fit
from ocrgan_jax.heads.judgement import judge
from ocrgan_jax.heads.measurements import Measurements, measure
from ocrgan_jax.model.inputs import to_float


def benchmark_bands(size: int, batch: int, count: int) -> list[Row]:
  """Times measuring, the fit to so many images, scores alone, and scores with maps."""
  mesh, shape = first_device(), Shape(size, 0, batch)
  images, name = random_batch(shape, mesh), f'{size}, batch {batch}'
  measuring = sharding.jit_over_batch(lambda x: measure(to_float(x)), mesh, num_replicated=0)
  found = [rate_row(f'bands {name}', batch, time_calls(lambda: measuring(images)))]
  measured = _many(jax.device_get(measuring(images)), count)
  heads = tuple(default.get_config('bands').score.heads.split(','))
  start = time.perf_counter()
  detector = fit(measured, np.arange(count), heads).detector
  seconds, nbytes = time.perf_counter() - start, sum(x.nbytes for x in jax.tree.leaves(detector))
  found.append(
    {
      'name': f'fit {size} to {count} images',
      'value': seconds,
      'unit': 's',
      'mib': nbytes / 2**20,
    }
  )
  detector = jax.device_put(detector, sharding.replicated(mesh))
  for what, wanted in (('score', ('score',)), ('map', ('score', 'map'))):
    judging = sharding.jit_over_batch(
      lambda d, x, wanted=wanted: [getattr(judge(d, to_float(x)), name) for name in wanted], mesh
    )
    call = functools.partial(judging, detector, images)
    found.append(rate_row(f'{what} {name}', batch, time_calls(call)))
  return found


def _many(measured: Measurements, count: int) -> Measurements:
  """So many measurements, each with noise, so that no two images are the same."""
  rng = np.random.default_rng(0)

  def repeat(x: np.ndarray) -> np.ndarray:
    x = np.concatenate([x] * -(-count // len(x)))[:count]
    return np.asarray(x * rng.uniform(0.9, 1.1, x.shape), np.float32)

  return Measurements(repeat(measured.statistics), repeat(measured.detail), None)
