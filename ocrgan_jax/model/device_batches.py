"""Batches of images on the devices, for fitting and validation."""

from collections.abc import Iterator

import jax
import numpy as np
from jax.sharding import Mesh

from ocrgan_jax.core import sharding
from ocrgan_jax.data.batches import evaluation_batches
from ocrgan_jax.data.images import Images


def device_batches(
  images: Images, mesh: Mesh, batch_size: int, order: np.ndarray | None = None
) -> Iterator[tuple[jax.Array, int]]:
  """Reads images batch by batch; each process reads its share.

  Args:
    images: uint8 [images, size, size, channels].
    mesh: of the devices.
    batch_size: images per batch, over all devices.
    order: indices of the images to read; all by default.

  Yields:
    The batch on the devices, padded to `batch_size`, and the number of images that count.
  """
  for host_batch, count in evaluation_batches(
    images,
    batch_size,
    order,
    process_index=jax.process_index(),
    process_count=jax.process_count(),
  ):
    yield sharding.put_batch(host_batch, mesh), count
