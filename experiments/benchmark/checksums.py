"""Times the checksums that are computed whenever a checkpoint is saved or read."""

import jax
import numpy as np

from experiments.benchmark.programs import Shape, model_of, new_arrays
from experiments.benchmark.timing import median_of
from experiments.rows import Row
from ocrgan_jax.core.digests import digests_of


def benchmark_checksums(shape: Shape) -> Row:
  """Times the checksums of a whole training state, including the optimizer."""
  like = new_arrays('train', model_of(shape, 'float32'), shapes_only=True)
  rng = np.random.default_rng(0)
  arrays = [
    np.frombuffer(rng.bytes(leaf.size * leaf.dtype.itemsize), np.uint8)
    for leaf in jax.tree.leaves(like)
  ]
  return {
    'name': f'checksums of the state of {shape.size}, width {shape.width}',
    'value': median_of(lambda: digests_of(arrays)),
    'unit': 's',
    'mib': sum(array.nbytes for array in arrays) / 2**20,
  }
