"""The machine: its description, and the most it can compute."""

import os
import platform
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.benchmark.timing import time_calls


def machine() -> str:
  """The machine in words."""
  model = platform.processor() or platform.machine()
  cpuinfo = Path('/proc/cpuinfo')
  if cpuinfo.exists():
    names = [line for line in cpuinfo.read_text().splitlines() if line.startswith('model name')]
    model = names[0].split(':', 1)[1].strip() if names else model
  device = jax.devices()[0].device_kind
  tunables = os.environ.get('GLIBC_TUNABLES')  # on a CPU, how memory is allocated
  return (
    f'{os.cpu_count()} cores, {model}; device {device}; Python {platform.python_version()}, '
    f'jax {jax.__version__}{f"; GLIBC_TUNABLES={tunables}" if tunables else ""}'
  )


def benchmark_products(dtype: str) -> dict[str, Any]:
  """GFLOP/s of the device at large matrix products, an upper bound for a step.

  Args:
    dtype: of the matrices.

  Returns:
    The row.
  """
  side = 2048 if jax.default_backend() == 'cpu' else 8192
  # Of random numbers: ones cost some accelerators less power, and run faster.
  matrix = jax.random.normal(jax.random.key(0), (side, side), dtype)
  multiply = jax.jit(lambda a: a @ a)
  seconds = float(np.median(time_calls(lambda: multiply(matrix))))
  gflops = 2 * side**3 / seconds / 1e9
  print(f'{f"products of {side}×{side} matrices, {dtype}":50} {gflops:10.1f} GFLOP/s')
  return {'name': 'products', 'gflops': gflops}


def peak_gib() -> float:
  """The largest memory of this process so far, GiB, by Linux; a parent's is not in it."""
  status = Path('/proc/self/status').read_text()
  return int(status.partition('VmHWM:')[2].split()[0]) / 2**20
