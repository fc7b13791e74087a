import os
import subprocess
import sys

import pytest

from ocrgan_jax.core import memory

SHOW = f'import os; print(os.environ.get({memory.VARIABLE!r}))'
PROGRAM = f"""
from ocrgan_jax.core.memory import report_restart, restart_with_huge_pages
restart_with_huge_pages()
report_restart()
{SHOW}
"""


@pytest.mark.skipif(not memory.huge_pages_help(), reason='no huge pages for a CPU here')
@pytest.mark.parametrize(
  ('arguments', 'variable', 'seen'),
  [
    ([], None, memory.SETTING),
    (['--nohuge_pages'], None, 'None'),
    ([], 'glibc.malloc.check=0', 'glibc.malloc.check=0'),
  ],
)
def test_it_restarts_once_and_keeps_a_users_setting(
  arguments: list[str], variable: str | None, seen: str
) -> None:
  environment = {name: value for name, value in os.environ.items() if name != memory.VARIABLE}
  if variable:
    environment[memory.VARIABLE] = variable
  command = [sys.executable, '-c', PROGRAM, *arguments]
  done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
  assert done.stdout.strip() == seen
  assert done.stderr.count('restarted with') == (seen == memory.SETTING)
