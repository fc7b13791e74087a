"""Describes the machine, and measures the memory of this process."""

import os
import platform
from pathlib import Path

import jax


def machine() -> str:
  """Describes the machine in one line."""
  model = platform.processor() or platform.machine()
  cpuinfo = Path('/proc/cpuinfo')
  if cpuinfo.exists():
    names = [line for line in cpuinfo.read_text().splitlines() if line.startswith('model name')]
    model = names[0].split(':', 1)[1].strip() if names else model
  device = jax.devices()[0]
  version = device.client.platform_version.replace('\n', ' ')  # of CUDA, on a GPU
  on = device.device_kind if device.platform == 'cpu' else f'{device.device_kind} ({version})'
  tunables = os.environ.get('GLIBC_TUNABLES')  # on a CPU, these set how memory is allocated
  return (
    f'{os.cpu_count()} cores, {model}; device {on}; Python {platform.python_version()}, '
    f'jax {jax.__version__}{f"; GLIBC_TUNABLES={tunables}" if tunables else ""}'
  )


def peak_gib() -> float:
  """The peak memory of this process so far in GiB, by Linux; excludes its parent's."""
  status = Path('/proc/self/status').read_text()
  return int(status.partition('VmHWM:')[2].split()[0]) / 2**20
