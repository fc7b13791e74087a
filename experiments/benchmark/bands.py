"""Times the recipe `bands`: measuring the training images, the fit, and scoring."""

import time
from functools import partial

import jax
import numpy as np

from experiments.benchmark.programs import Shape, first_device, random_batch
from experiments.benchmark.timing import rate_row, time_calls
from experiments.rows import Row
from ocrgan_jax.configs import default
from ocrgan_jax.core import sharding
from ocrgan_jax.heads.fitting import fit_heads
from ocrgan_jax.heads.measurements import Measurements
from ocrgan_jax.model.score_step import score_step
from ocrgan_jax.model.settings import build_model
from ocrgan_jax.training.bands import measure_step


def benchmark_bands(size: int, batch: int, count: int) -> list[Row]:
  """Times measuring, the fit to so many images, scores alone, and scores with maps."""
  config, mesh = default.get_config('bands'), first_device()
  config.image_size = size
  model, images = build_model(config), random_batch(Shape(size, 0, batch), mesh)
  measuring = sharding.jit_over_batch(measure_step, mesh, num_replicated=0)
  rate = lambda name, call: rate_row(f'{name} {size}, batch {batch}', batch, time_calls(call))
  found = [rate('bands', lambda: measuring(images))]
  measured = _many(jax.device_get(measuring(images)), count)
  start = time.perf_counter()
  heads = fit_heads(measured, np.arange(count), model.score.heads_on).heads
  row: Row = {'name': f'fit {size} to {count} images', 'value': time.perf_counter() - start}
  nbytes = sum(x.nbytes for x in jax.tree.leaves(heads))
  found.append({**row, 'unit': 's', 'mib': nbytes / 2**20})
  heads = jax.device_put(heads, sharding.replicated(mesh))
  for what, outputs in (('score', ('score',)), ('map', ('score', 'map'))):
    scoring = sharding.jit_over_batch(score_step, mesh, model=model, outputs=outputs)
    found.append(rate(what, partial(scoring, heads, images)))
  return found


def _many(measured: Measurements, count: int) -> Measurements:
  """So many measurements, each with noise, so that no two images are the same."""
  rng = np.random.default_rng(0)

  def repeat(x: np.ndarray) -> np.ndarray:
    x = np.concatenate([x] * -(-count // len(x)))[:count]
    return np.asarray(x * rng.uniform(0.9, 1.1, x.shape), np.float32)

  return Measurements(repeat(measured.statistics), repeat(measured.detail), None)
