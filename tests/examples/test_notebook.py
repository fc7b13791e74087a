import json
import re
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, run_python

NOTEBOOK = REPOSITORY / 'examples/demo.ipynb'


def beginnings(text: str) -> list[str]:
  """The lines up to their first number."""
  return [re.split(r'[\d(]', line)[0].strip() for line in text.splitlines()]


@pytest.mark.slow
def test_the_notebook_runs_and_is_stored_with_what_it_shows(tmp_path: Path) -> None:
  """Runs its cells as one program, on smaller images; the backend for pictures is kept."""
  pytest.importorskip('elpv_dataset', reason='the notebook needs pip install elpv-dataset')
  cells = [c for c in json.loads(NOTEBOOK.read_text())['cells'] if c['cell_type'] == 'code']
  program = '\n'.join(''.join(c['source']) for c in cells)
  program = program.replace('image_size = 256', 'image_size = 32')
  program += "\nassert plt.get_backend() == 'svg'\nplt.savefig('last.png')\n"
  (tmp_path / 'demo.py').write_text(program)
  done = run_python('demo.py', cwd=tmp_path, MPLBACKEND='svg', PYTHONPATH=str(REPOSITORY))
  assert done.returncode == 0, done.stderr
  assert (tmp_path / 'last.png').stat().st_size > 5000
  assert (tmp_path / 'runs/notebook/report.html').exists()
  # The site shows what is stored; `make notebook` renews it.
  outputs = [o for c in cells for o in c['outputs']]
  printed = ''.join(''.join(o['text']) for o in outputs if o.get('name') == 'stdout')
  assert beginnings(printed) == beginnings(done.stdout)
  assert sum('image/png' in o.get('data', {}) for o in outputs) == 2
