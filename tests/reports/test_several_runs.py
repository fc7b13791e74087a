import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from ocrgan_jax.reports.several_runs import mean_and_error
from tests.conftest import run_module


@pytest.mark.slow
def test_a_folder_of_runs_gets_one_table(trained: Path, tmp_path: Path) -> None:
  for seed in (0, 1):
    shutil.copytree(trained, tmp_path / f'tile/seed{seed}')
  done = run_module('ocrgan_jax.evaluate', f'--workdir={tmp_path}', '--nopictures')
  assert done.returncode == 0, done.stderr
  with (tmp_path / 'table.csv').open() as file:
    (row,) = csv.DictReader(file)
  assert (row['category'], row['runs']) == ('mvtec_ad tile', '2')
  assert float(row['image_auroc_error']) == 0
  assert f'| mvtec_ad tile | 2 | {float(row["image_auroc"]):.3f} ± 0.000 |' in done.stdout
  page = (tmp_path / 'table.html').read_text()
  assert page.count('/report.html') == 2 and 'tile/seed1/report.html' in page
  one = run_module('ocrgan_jax.evaluate', f'--workdir={tmp_path}', '--score.kind=map')
  assert one.returncode == 1 and 'holds 2 runs' in one.stderr


def test_the_error_is_the_standard_error_of_the_mean() -> None:
  mean, error = mean_and_error([0.9, 0.8, 1.0])
  assert mean == pytest.approx(0.9) and error == pytest.approx(0.1 / np.sqrt(3))
  assert mean_and_error([0.9]) == (0.9, None) and mean_and_error([0.9, None]) is None
