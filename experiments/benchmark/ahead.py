"""Training steps that are compiled side by side, and timed one by one afterwards."""

import concurrent.futures
import functools
import time
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jax.stages import Compiled

from experiments.benchmark.flops import flops_by_hand
from experiments.benchmark.programs import (
  Shape,
  first_device,
  model_of,
  peak_memory,
  random_batch,
  training_program,
)
from experiments.benchmark.timing import report_rate, time_calls
from ocrgan_jax.core import sharding
from ocrgan_jax.model.ocrgan import OCRGAN
from ocrgan_jax.model.state import State, create_state
from ocrgan_jax.training.run import new_state

Job = tuple[Shape, str]  # the shape and the dtype of a training step
COMPILING = 'compiling'  # in the names of threads that do
QUEUED_STEPS = 20  # that are started without waiting for each


def compile_training(model: OCRGAN, mesh: Mesh, batch: int) -> tuple[Compiled, float]:
  """Compiles a training step from shapes alone.

  Args:
    model: the static description.
    mesh: of the device.
    batch: images a step.

  Returns:
    The program, and the seconds it took.
  """
  state = jax.eval_shape(functools.partial(create_state, model), 0)
  images = jax.ShapeDtypeStruct((batch, model.image_size, model.image_size, 3), np.uint8)
  start = time.perf_counter()
  compiled = training_program(model, mesh).lower(state, images).compile()
  return compiled, time.perf_counter() - start


def compile_ahead(jobs: Iterable[Job], threads: int) -> dict[Job, Future[tuple[Compiled, float]]]:
  """Compiles several training steps side by side, and waits for all of them.

  Args:
    jobs: of the steps.
    threads: that compile.

  Returns:
    Of each: the compiled program and the seconds it took, or the error, in a future.
  """
  mesh, pool = first_device(), concurrent.futures.ThreadPoolExecutor(threads, COMPILING)
  try:
    found = {
      (shape, dtype): pool.submit(compile_training, model_of(shape, dtype), mesh, shape.batch)
      for shape, dtype in jobs
    }
    # What draws the parameters, which are float32 whatever the dtype, is a program of its own.
    sizes = {(shape.size, shape.width): shape for shape, _ in found}
    drawn = [pool.submit(first_state, shape) for shape in sizes.values()]
    concurrent.futures.wait(found.values())
    concurrent.futures.wait(drawn)
  finally:
    pool.shutdown(wait=False, cancel_futures=True)  # or the end of a section's time would wait
  return found


def first_state(shape: Shape) -> State:
  """The state that training begins with."""
  model = model_of(shape._replace(batch=0), 'float32')
  return new_state(model, first_device())(0)


def time_training(compiled: Compiled, shape: Shape, dtype: str) -> dict[str, Any]:
  """Times a compiled training step.

  Args:
    compiled: the program.
    shape: of the model and its batch.
    dtype: of the computation.

  Returns:
    The row. `queued_images_per_second` is the rate of steps that are started one after the
    other without waiting, as training does it.
  """
  batch = random_batch(shape, first_device())
  state = sharding.in_layout(compiled, first_state(shape))

  def call() -> Any:
    nonlocal state
    state, losses = compiled(state, batch)  # the state given is used up
    return losses

  seconds = time_calls(call)
  start = time.perf_counter()
  for _ in range(QUEUED_STEPS):
    losses = call()
  jax.block_until_ready(losses)
  queued = (time.perf_counter() - start) / QUEUED_STEPS
  return {
    **report_rate(f'train {shape} {dtype}', [shape.batch / s for s in seconds]),
    'queued_images_per_second': shape.batch / queued,
    'tflops_by_hand': flops_by_hand(shape)['train'] / float(np.median(seconds)) / 1e12,
    'memory_gib': peak_memory(compiled) / 2**30,
    'losses': {name: float(value) for name, value in losses.items()},
  }
