"""The mesh of devices, and where arrays lie on it."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jax.stages import Wrapped as JitWrapped


def make_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
  """A mesh with one axis, `data`, over the devices (all of them by default)."""
  devices = jax.devices() if devices is None else devices
  return jax.make_mesh((len(devices),), ('data',), axis_types=(AxisType.Auto,), devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
  """The same array on every device: the state."""
  return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
  """The first axis split over the devices: batches."""
  return NamedSharding(mesh, PartitionSpec('data'))


def jit_over_batch(
  function: Callable[..., Any], mesh: Mesh, *, others: int = 1, donate: bool = False
) -> JitWrapped:
  """Compiles a function of (state, …, batch) for a mesh, its results replicated.

  Args:
    function: pure, of replicated arguments, the state first, and a batch split
      over the devices.
    mesh: of the devices.
    others: how many arguments come before the batch.
    donate: whether the state's memory is given to the result.

  Returns:
    The jitted function.
  """
  return jax.jit(
    function,
    in_shardings=(*[replicated(mesh)] * others, batch_sharding(mesh)),
    out_shardings=replicated(mesh),
    donate_argnums=0 if donate else (),
  )


def put_batch(images: np.ndarray, mesh: Mesh) -> jax.Array:
  """Puts this process's share of a batch on its devices."""
  return jax.make_array_from_process_local_data(batch_sharding(mesh), images)
