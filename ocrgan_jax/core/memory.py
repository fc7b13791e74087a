"""Memory in huge pages, which makes a CPU's steps faster: it has to be asked for at the start."""

import os
import sys
from pathlib import Path

VARIABLE = 'GLIBC_TUNABLES'
SETTING = 'glibc.malloc.hugetlb=1'
STARTED_AGAIN = 'OCRGAN_STARTED_AGAIN'
REFUSED = ('--nohuge_pages', '--huge_pages=false')
PAGES = Path('/sys/kernel/mm/transparent_hugepage/enabled')
ACCELERATORS = ('/dev/nvidiactl', '/dev/kfd', '/dev/accel0', '/dev/vfio')


def start_again_with_huge_pages() -> None:
  """Replaces this process by the same command with huge pages.

  Where that has no use or is not wanted it does nothing: not under Linux's glibc, on a machine
  with an accelerator, where the kernel does not leave the choice to programs, where the
  variable is set already, or with --nohuge_pages. What it brings: docs/performance.md.
  """
  if not is_of_use() or VARIABLE in os.environ or {*REFUSED} & {*sys.argv}:
    return
  command = [sys.executable, *sys.orig_argv[1:]]
  os.execve(sys.executable, command, {**os.environ, VARIABLE: SETTING, STARTED_AGAIN: '1'})


def tell_if_started_again() -> None:
  """Says on stderr, once, that this process was started again."""
  if os.environ.pop(STARTED_AGAIN, ''):
    print(
      f'started again with {VARIABLE}={SETTING}, faster on a CPU; --nohuge_pages leaves it',
      file=sys.stderr,
    )


def is_of_use() -> bool:
  """Whether this machine computes on its CPU and gives huge pages to programs that ask."""
  glibc = sys.platform == 'linux' and 'CS_GNU_LIBC_VERSION' in os.confstr_names
  return (
    glibc
    and not any(os.path.exists(device) for device in ACCELERATORS)
    and PAGES.exists()
    and '[madvise]' in PAGES.read_text()
  )
