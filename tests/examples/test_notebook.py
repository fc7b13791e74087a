import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

NOTEBOOK = REPOSITORY / 'examples/demo.ipynb'


def test_the_stored_notebook_shows_the_documented_result() -> None:
  """The site shows what is stored; `make notebook` renews it."""
  rows = map(json.loads, (REPOSITORY / 'docs/detection.jsonl').read_text().splitlines())
  row = next(row for row in rows if (row['set'], row['seed']) == ('elpv', 0))
  cells = json.loads(NOTEBOOK.read_text())['cells']
  outputs = [output for cell in cells for output in cell.get('outputs', ())]
  assert f'image AUROC: {row["image_auroc"]:.3f} ' in str(outputs)
  assert sum('image/png' in output.get('data', {}) for output in outputs) == 2
  assert all(output['output_type'] != 'error' for output in outputs)


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path) -> None:
  """Runs its cells as one program, on smaller images; the backend for pictures is kept."""
  pytest.importorskip('elpv_dataset', reason='the notebook needs pip install elpv-dataset')
  notebook = json.loads(NOTEBOOK.read_text())
  cells = [''.join(c['source']) for c in notebook['cells'] if c['cell_type'] == 'code']
  program = '\n'.join(cells).replace('image_size = 256', 'image_size = 32')
  program += "\nassert plt.get_backend() == 'svg'\nplt.savefig('last.png')\n"
  (tmp_path / 'demo.py').write_text(program)
  environment = {**os.environ, 'MPLBACKEND': 'svg', 'PYTHONPATH': str(REPOSITORY)}
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
