"""Huge pages, which make steps faster on a CPU. A process must request them when it starts."""

import os
import signal
import sys
from pathlib import Path

from ocrgan_jax.core.signals import SIGNALS

VARIABLE = 'GLIBC_TUNABLES'
SETTING = 'glibc.malloc.hugetlb=1'
RESTARTED = 'OCRGAN_STARTED_AGAIN'
REFUSED = ('--nohuge_pages', '--huge_pages=false')
PAGES = Path('/sys/kernel/mm/transparent_hugepage/enabled')
ACCELERATORS = ('/dev/nvidiactl', '/dev/kfd', '/dev/accel0', '/dev/vfio')


def restart_with_huge_pages() -> None:
  """Replaces this process with the same command, with huge pages enabled.

  Does nothing where that is useless or unwanted: without glibc on Linux, with an accelerator,
  where the kernel does not let programs choose, if the variable is already set, or with
  --nohuge_pages. Measurements: docs/performance.md.
  """
  if not huge_pages_help() or VARIABLE in os.environ or {*REFUSED} & {*sys.argv}:
    return
  # A signal during the restart waits until the new process handles it.
  signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
  command = [sys.executable, *sys.orig_argv[1:]]
  os.execve(sys.executable, command, {**os.environ, VARIABLE: SETTING, RESTARTED: '1'})


def report_restart() -> None:
  """Says once on stderr that this process was restarted."""
  if os.environ.pop(RESTARTED, ''):
    print(
      f'restarted with {VARIABLE}={SETTING}, faster on a CPU; --nohuge_pages prevents it',
      file=sys.stderr,
    )


def huge_pages_help() -> bool:
  """Whether this machine computes on its CPU and grants huge pages on request."""
  glibc = sys.platform == 'linux' and 'CS_GNU_LIBC_VERSION' in os.confstr_names
  return (
    glibc
    and not any(os.path.exists(device) for device in ACCELERATORS)
    and PAGES.exists()
    and '[madvise]' in PAGES.read_text()
  )
