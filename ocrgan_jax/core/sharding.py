"""The device mesh, the placement of arrays on it, and the processes that share it."""

import contextlib
import functools
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.experimental.layout import Format, Layout
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jax.stages import Compiled
from jax.stages import Wrapped as JitWrapped

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.platforms import CPU_OPTIONS


def make_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
  """A mesh with one axis, `data`, over the devices (all of them by default)."""
  devices = jax.devices() if devices is None else devices
  return jax.make_mesh((len(devices),), ('data',), axis_types=(AxisType.Auto,), devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
  """The full array on every device; used for the state."""
  return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
  """The first axis split over the devices; used for batches."""
  return NamedSharding(mesh, PartitionSpec('data'))


@functools.lru_cache(maxsize=64)
def jit_over_batch(
  function: Callable[..., Any],
  mesh: Mesh,
  *,
  num_replicated: int = 1,
  makes_batch: bool = False,
  donate: bool = False,
  **static: Hashable,
) -> JitWrapped:
  """Compiles a function of (state, …, batch) for a mesh; equal arguments give the same program.

  Args:
    function: pure; takes replicated arguments, the state first, then a batch that is split
      over the devices.
    mesh: the devices.
    num_replicated: number of arguments before the batch.
    makes_batch: whether the result is a batch split over the devices; else it is replicated.
    donate: whether the function returns (state, …) and may reuse the state's memory for it. On
      an accelerator the compiler then chooses the layout of the state's arrays, which saves
      transposing weights at each step; so compile it ahead, for `shapes_of` the state, and
      give the first state to `in_layout`.
    **static: keyword arguments of the function, such as the model.

  Returns:
    The jitted function.
  """
  ins: list[Any] = [replicated(mesh)] * num_replicated
  out: Any = batch_sharding(mesh) if makes_batch else replicated(mesh)
  if donate and not _on_cpu(mesh):
    ins[0] = Format(Layout.AUTO, replicated(mesh))  # type: ignore[arg-type]
    out = (ins[0], out)
  return jax.jit(
    functools.partial(function, **static),
    in_shardings=(*ins, batch_sharding(mesh)),
    out_shardings=out,
    donate_argnums=0 if donate else (),
    compiler_options=CPU_OPTIONS if _on_cpu(mesh) else None,
  )


def _on_cpu(mesh: Mesh) -> bool:
  return mesh.devices.flat[0].platform == 'cpu'


def shapes_of(arrays: Any) -> Any:
  """The shapes and dtypes of arrays, without their layout, to compile a function for."""
  return jax.eval_shape(lambda x: x, arrays)


def in_layout(compiled: Compiled, state: Any) -> Any:
  """Arranges a state as a compiled function of `jit_over_batch` wants its first argument.

  The state given is used up, so that there are never two of them in memory.
  """
  formats, _ = compiled.input_formats
  return jax.device_put(state, formats[0], donate=True)


def put_batch(images: np.ndarray, mesh: Mesh) -> jax.Array:
  """Puts this process's share of a batch on its devices."""
  return jax.make_array_from_process_local_data(batch_sharding(mesh), images)


def whole_batch(batch_size: int, mesh: Mesh) -> int:
  """The next batch size that the devices can share evenly."""
  return -(-batch_size // mesh.size) * mesh.size


def start_processes(
  coordinator: str = '', num_processes: int | None = None, process_id: int | None = None
) -> None:
  """Connects this process to the others of a run. Call it before any use of JAX.

  Args:
    coordinator: `host:port` of the first process. Without it JAX detects all three arguments
      on a SLURM or cloud cluster.
    num_processes: number of processes of the run.
    process_id: index of this process, from 0.

  Raises:
    InputError: if the processes cannot be detected or connected.
  """
  try:
    jax.distributed.initialize(coordinator or None, num_processes, process_id)
  except (RuntimeError, ValueError) as error:
    raise InputError(
      f'the processes of the run could not connect ({str(error).splitlines()[0]}); start each '
      'with --coordinator=host:port, --num_processes and --process_id'
    ) from None


def is_first_process() -> bool:
  """Whether this process writes the run's folder; orbax saves for all processes."""
  return jax.process_index() == 0


def in_first_process(action: Callable[[], Any]) -> Any:
  """Runs an action in the first process only; its InputError is raised in all of them.

  Args:
    action: may raise an InputError.

  Returns:
    The result of the action; None in the other processes.

  Raises:
    InputError: raised by the action; the other processes raise one with the same message.
  """
  if jax.process_count() == 1:
    return action()
  result, raised = None, None
  try:
    result = action() if is_first_process() else None
  except InputError as error:
    raised = error
  text = np.frombuffer(str(raised or '').encode()[:500].ljust(500), np.uint8)
  message = np.asarray(multihost_utils.broadcast_one_to_all(text)).tobytes().decode().strip()
  if message:
    raise raised or InputError(message)
  return result


@contextlib.contextmanager
def first_process_first(what: str) -> Iterator[None]:
  """Runs the body in the first process of a run, then in the others."""
  if not is_first_process():
    multihost_utils.sync_global_devices(what)
  yield
  if is_first_process():
    multihost_utils.sync_global_devices(what)
