"""The example with Ray Data; it needs `pip install 'ray[data]'`."""

import csv
import shutil
from pathlib import Path

import pytest

from ocrgan_jax.inference.loading import load
from tests.conftest import run_python

pytestmark = pytest.mark.slow


def test_two_workers_give_the_scores_of_predict_and_resume(
  trained: Path, mvtec_folder: Path, tmp_path: Path
) -> None:
  pytest.importorskip('ray', reason="the example needs pip install 'ray[data]'")
  shutil.copytree(mvtec_folder / 'tile/test', tmp_path / 'photographs')
  (tmp_path / 'photographs/bad.png').write_text('no image')
  command = ['examples/score_with_ray.py', f'--workdir={trained}', '--part=4']
  command += [f'--output={tmp_path}/scores', str(tmp_path / 'photographs')]
  run = lambda: run_python(*command).stdout
  assert '12 images in 3 parts, 0 done already' in run()
  rows = []
  for path in sorted((tmp_path / 'scores').iterdir()):
    with path.open() as file:
      rows += list(csv.DictReader(file))
  paths = sorted((tmp_path / 'photographs').rglob('*.png'))
  expected = load(trained).score_files(paths)
  assert [row['path'] for row in rows] == [str(path) for path in paths]
  for row, p in zip(rows, expected, strict=True):
    assert (row['decision'], row['error']) == (p.decision, p.error)
    assert p.error or float(row['score']) == pytest.approx(p.score, rel=1e-4)
  assert rows[0]['error'] == 'not an image'
  (tmp_path / 'scores/part-000001.csv').unlink()
  assert '12 images in 3 parts, 2 done already' in run()
  assert (tmp_path / 'scores/part-000001.csv').exists()
