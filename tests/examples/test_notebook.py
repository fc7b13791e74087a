import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

pytestmark = pytest.mark.slow


def test_the_notebook_runs(tmp_path: Path) -> None:
  """Runs its cells as one program, on smaller images."""
  pytest.importorskip('elpv_dataset', reason='the notebook needs pip install elpv-dataset')
  notebook = json.loads((REPOSITORY / 'examples/demo.ipynb').read_text())
  cells = [''.join(c['source']) for c in notebook['cells'] if c['cell_type'] == 'code']
  program = '\n'.join(cells).replace('image_size = 256', 'image_size = 32')
  program += "\nplt.savefig('last.png')\n"
  (tmp_path / 'demo.py').write_text(program)
  environment = {**os.environ, 'MPLBACKEND': 'agg', 'PYTHONPATH': str(REPOSITORY)}
  done = subprocess.run(
    [sys.executable, 'demo.py'],
    cwd=tmp_path,
    env=environment,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  assert 'image AUROC: ' in done.stdout and 'threshold: ' in done.stdout
  assert 'of the defective cells' in done.stdout
  assert (tmp_path / 'last.png').stat().st_size > 5000
  assert (tmp_path / 'runs/notebook/report.html').exists()
