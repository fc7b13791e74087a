"""Computations that run differently on CPUs and on accelerators."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax import lax

# XLA for CPUs removes `lax.optimization_barrier` before fusion, unless this pass is disabled.
CPU_OPTIONS = {'xla_disable_hlo_passes': 'cse_barrier_expander'}

_as_on_cpu = contextvars.ContextVar('_as_on_cpu', default=False)


def by_platform(*operands: jax.Array, cpu: Callable[..., Any], default: Callable[..., Any]) -> Any:
  """Runs `cpu(*operands)` if the program runs on a CPU, else `default(*operands)`."""
  if _as_on_cpu.get():
    return cpu(*operands)
  return lax.platform_dependent(*operands, cpu=cpu, default=default)


def on_accelerator() -> bool:
  """Whether JAX computes on an accelerator unless told otherwise."""
  return jax.default_backend() != 'cpu'


def dtype_of_computation(name: str) -> str:
  """The dtype of the networks' computation.

  Args:
    name: 'float32', 'bfloat16', or 'auto' for bfloat16 on an accelerator that has it, else
      float32. Accelerators without it are GPUs older than compute capability 8.0.

  Returns:
    'float32' or 'bfloat16'.
  """
  if name != 'auto':
    return name
  capability = float(getattr(jax.devices()[0], 'compute_capability', 8.0))
  return 'bfloat16' if on_accelerator() and capability >= 8.0 else 'float32'


@contextlib.contextmanager
def as_on_cpu() -> Iterator[None]:
  """Picks the CPU version while tracing, for converters without platforms (ONNX)."""
  token = _as_on_cpu.set(True)
  try:
    yield
  finally:
    _as_on_cpu.reset(token)


def cpu_barrier(arrays: Any) -> Any:
  """Makes a CPU compute the arrays once, however many readers; accelerators fuse freely.

  Programs that rely on it are compiled with CPU_OPTIONS (see `sharding.jit_over_batch`).
  """
  leaves, structure = jax.tree.flatten(arrays)
  fenced = by_platform(*leaves, cpu=_fence, default=_pass)
  return jax.tree.unflatten(structure, fenced)


def _fence(*leaves: jax.Array) -> tuple[jax.Array, ...]:
  return lax.optimization_barrier(leaves)


def _pass(*leaves: jax.Array) -> tuple[jax.Array, ...]:
  return leaves
