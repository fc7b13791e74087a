"""Measures training and scoring of one model: time, FLOP/s, memory and compilation."""

import time
from typing import Any

import jax

from experiments.benchmark.flops import flops_by_hand
from experiments.benchmark.programs import (
  Shape,
  first_device,
  lower,
  model_of,
  new_arrays,
  peak_memory,
  random_batch,
)
from experiments.benchmark.timing import rate_row, time_calls
from experiments.rows import Row
from ocrgan_jax.core import sharding

IN_FLIGHT = 10  # steps that are started without waiting for each, as training does it


def benchmark_step(what: str, shape: Shape, dtype: str) -> Row:
  """Compiles and times the training step ('train') or the scoring ('score') of one shape.

  `in_flight` in the row is the rate of steps that are not waited for.
  """
  mesh, model = first_device(), model_of(shape, dtype)
  compile_seconds = []
  for _ in range(2):  # the second time it comes from the persistent cache
    jax.clear_caches()
    start = time.perf_counter()
    compiled = lower(what, model, mesh, shape.batch).compile()
    compile_seconds.append(time.perf_counter() - start)
  arrays = sharding.in_layout(compiled, new_arrays(what, model))
  batch = random_batch(shape, mesh)

  def call() -> Any:
    nonlocal arrays
    results = compiled(arrays, batch)
    if what == 'train':
      arrays = results[0]  # the given state was donated
    return results

  seconds = time_calls(call)
  row = rate_row(f'{what} {shape} {dtype}', shape.batch, seconds)
  start = time.perf_counter()
  jax.block_until_ready([call() for _ in range(IN_FLIGHT)][-1])
  each = (time.perf_counter() - start) / IN_FLIGHT
  costs: Any = compiled.cost_analysis()
  steps_per_second = row['value'] / shape.batch
  return {
    **row,
    'in_flight': shape.batch / each,
    'compile_seconds': compile_seconds[0],
    'compile_seconds_from_cache': compile_seconds[1],
    'gflops_by_compiler': costs['flops'] * steps_per_second / 1e9,
    'gflops_by_hand': flops_by_hand(shape)[what] * steps_per_second / 1e9,
    'memory_gib': peak_memory(compiled) / 2**30,
  }
