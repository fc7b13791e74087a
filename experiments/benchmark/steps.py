"""Measures training and scoring of one model: time, FLOP/s, memory and compilation."""

import time
from typing import Any

import jax
import numpy as np

from experiments.benchmark.flops import flops_by_hand
from experiments.benchmark.programs import (
  Shape,
  first_device,
  model_of,
  peak_memory,
  random_batch,
  scoring_program,
  training_program,
)
from experiments.benchmark.timing import report_rate, time_calls
from ocrgan_jax.core import sharding
from ocrgan_jax.scoring.anomaly_score import Reference
from ocrgan_jax.training.run import new_state


def benchmark_step(what: str, shape: Shape, dtype: str) -> dict[str, Any]:
  """Compiles and times the training step or the scoring of one shape.

  Args:
    what: 'train' or 'score'.
    shape: shape of the model and its batch.
    dtype: type of the computation.

  Returns:
    The row of the table.
  """
  mesh, model = first_device(), model_of(shape, dtype)
  state, batch = new_state(model, mesh)(0), random_batch(shape, mesh)
  others: tuple[Any, ...] = (batch,)
  program = training_program(model, mesh)
  if what == 'score':
    unit = Reference(
      jax.device_put(np.ones([shape.size] * 2, np.float32), sharding.replicated(mesh))
    )
    program, others = scoring_program(model, mesh), (unit, batch)
  compile_seconds = []
  for _ in range(2):  # the second time it comes from the persistent cache
    jax.clear_caches()
    start = time.perf_counter()
    compiled = program.lower(sharding.shapes_of(state), *others).compile()
    compile_seconds.append(time.perf_counter() - start)

  if what == 'train':
    state = sharding.in_layout(compiled, state)

  def call() -> Any:
    nonlocal state
    results = compiled(state, *others)
    if what == 'train':
      state = results[0]  # the given state was donated
    return results

  seconds = time_calls(call)
  costs: Any = compiled.cost_analysis()
  median = float(np.median(seconds))
  row = {
    **report_rate(f'{what} {shape} {dtype}', [shape.batch / s for s in seconds]),
    'compile_seconds': compile_seconds[0],
    'compile_seconds_from_cache': compile_seconds[1],
    'gflops_by_compiler': costs['flops'] / median / 1e9,
    'gflops_by_hand': flops_by_hand(shape)[what] / median / 1e9,
    'memory_gib': peak_memory(compiled) / 2**30,
  }
  print(
    f'    GFLOP/s: {row["gflops_by_hand"]:.1f} by hand, {row["gflops_by_compiler"]:.1f} '
    f'by compiler; {row["memory_gib"]:.2f} GiB; compiled in {compile_seconds[0]:.1f} s, '
    f'from the cache in {compile_seconds[1]:.1f} s'
  )
  return row
