"""Times the checksums that are computed whenever a checkpoint is saved or read."""

import functools
from typing import Any

import jax
import numpy as np

from experiments.benchmark.programs import Shape, model_of
from experiments.benchmark.timing import time_calls
from ocrgan_jax.core.digests import digests_of
from ocrgan_jax.model.state import create_state


def benchmark_checksums(shape: Shape) -> dict[str, Any]:
  """Times the checksums of a whole training state, including the optimizer.

  Args:
    shape: shape of the model; its batch is ignored.

  Returns:
    The row of the table.
  """
  like = jax.eval_shape(functools.partial(create_state, model_of(shape, 'float32')), 0)
  rng = np.random.default_rng(0)
  arrays = [
    np.frombuffer(rng.bytes(leaf.size * leaf.dtype.itemsize), np.uint8)
    for leaf in jax.tree.leaves(like)
  ]
  seconds, size = time_calls(lambda: digests_of(arrays)), sum(array.nbytes for array in arrays)
  median = float(np.median(seconds))
  print(
    f'checksums of the state of {shape.size}, width {shape.width}: {size / 2**20:.0f} MiB, '
    f'{median:.2f} s  ({min(seconds):.2f} to {max(seconds):.2f})'
  )
  return {'name': 'checksums', 'mib': size / 2**20, 'seconds': median}
