"""Describes the machine, and measures its peak rate and memory."""

import os
import platform
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.benchmark.timing import time_calls


def machine() -> str:
  """Describes the machine in one line."""
  model = platform.processor() or platform.machine()
  cpuinfo = Path('/proc/cpuinfo')
  if cpuinfo.exists():
    names = [line for line in cpuinfo.read_text().splitlines() if line.startswith('model name')]
    model = names[0].split(':', 1)[1].strip() if names else model
  device = jax.devices()[0].device_kind
  tunables = os.environ.get('GLIBC_TUNABLES')  # on a CPU, these set how memory is allocated
  return (
    f'{os.cpu_count()} cores, {model}; device {device}; Python {platform.python_version()}, '
    f'jax {jax.__version__}{f"; GLIBC_TUNABLES={tunables}" if tunables else ""}'
  )


def benchmark_products(dtype: str, side: int = 0) -> dict[str, Any]:
  """Measures GFLOP/s of large matrix products, an upper bound for a step.

  Args:
    dtype: type of the matrices.
    side: side of the matrices; by default 2048 on a CPU, else 8192.

  Returns:
    The row of the table.
  """
  side = side or (2048 if jax.default_backend() == 'cpu' else 8192)
  # Random numbers, since ones use less power on some accelerators and run faster.
  matrix = jax.random.normal(jax.random.key(0), (side, side), dtype)
  multiply = jax.jit(lambda a: a @ a)
  seconds = float(np.median(time_calls(lambda: multiply(matrix))))
  gflops = 2 * side**3 / seconds / 1e9
  print(f'{f"products of {side}×{side} matrices, {dtype}":50} {gflops:10.1f} GFLOP/s')
  return {'name': 'products', 'gflops': gflops}


def peak_gib() -> float:
  """The peak memory of this process so far in GiB, by Linux; excludes its parent's."""
  status = Path('/proc/self/status').read_text()
  return int(status.partition('VmHWM:')[2].split()[0]) / 2**20
