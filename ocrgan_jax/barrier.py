"""A fence for the compiler of CPUs, which otherwise repeats work."""

from typing import Any

import jax
from jax import lax

# XLA for CPUs drops `lax.optimization_barrier` before it decides what to fuse, unless it
# is told to leave that pass out.
CPU_OPTIONS = {'xla_disable_hlo_passes': 'cse_barrier_expander'}


def cpu_barrier(arrays: Any) -> Any:
  """Arrays that a CPU computes once, whatever reads them; accelerators fuse as they like.

  Programs that rely on it are compiled with CPU_OPTIONS (see `sharding.jit_over_batch`).
  """
  leaves, structure = jax.tree.flatten(arrays)
  fenced = lax.platform_dependent(*leaves, cpu=_fence, default=_pass)
  return jax.tree.unflatten(structure, fenced)


def _fence(*leaves: jax.Array) -> tuple[jax.Array, ...]:
  return lax.optimization_barrier(leaves)


def _pass(*leaves: jax.Array) -> tuple[jax.Array, ...]:
  return leaves
