"""What is computed in one way on a CPU and in another on an accelerator."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax import lax

# XLA for CPUs drops `lax.optimization_barrier` before it decides what to fuse, unless it
# is told to leave that pass out.
CPU_OPTIONS = {'xla_disable_hlo_passes': 'cse_barrier_expander'}

_as_on_cpu = contextvars.ContextVar('_as_on_cpu', default=False)


def by_platform(*operands: jax.Array, cpu: Callable[..., Any], default: Callable[..., Any]) -> Any:
  """`cpu(*operands)` where the program runs on a CPU, else `default(*operands)`."""
  if _as_on_cpu.get():
    return cpu(*operands)
  return lax.platform_dependent(*operands, cpu=cpu, default=default)


@contextlib.contextmanager
def as_on_cpu() -> Iterator[None]:
  """Makes the choice while tracing, for converters that know nothing of platforms (ONNX)."""
  token = _as_on_cpu.set(True)
  try:
    yield
  finally:
    _as_on_cpu.reset(token)


def cpu_barrier(arrays: Any) -> Any:
  """Arrays that a CPU computes once, whatever reads them; accelerators fuse as they like.

  Programs that rely on it are compiled with CPU_OPTIONS (see `sharding.jit_over_batch`).
  """
  leaves, structure = jax.tree.flatten(arrays)
  fenced = by_platform(*leaves, cpu=_fence, default=_pass)
  return jax.tree.unflatten(structure, fenced)


def _fence(*leaves: jax.Array) -> tuple[jax.Array, ...]:
  return lax.optimization_barrier(leaves)


def _pass(*leaves: jax.Array) -> tuple[jax.Array, ...]:
  return leaves
