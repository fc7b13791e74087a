import shutil
from pathlib import Path

import pytest

from experiments import ablation
from ocrgan_jax.model.settings import build_model
from ocrgan_jax.training.log import read_lines


def test_each_variant_is_a_different_model() -> None:
  models = {
    name: build_model(ablation.config_of('', 'tile', name, 64, 0)) for name in ablation.VARIANTS
  }
  assert len(set(models.values())) == len(ablation.VARIANTS)


@pytest.mark.slow
def test_finished_runs_are_not_repeated(
  mvtec_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
  shutil.copytree(mvtec_folder / 'tile', tmp_path / 'data/mvtec_ad/bottle')
  name, variant = 'bottle', 'band statistics alone'
  for test in (False, True, True):
    ablation.run(tmp_path / 'runs', str(tmp_path / 'data'), name, variant, 32, 0, test=test)
  first, second = read_lines(tmp_path / 'runs/results.jsonl')
  assert 'test' not in first and second['test'] == 1
  assert second['validation'] == first['validation']
  assert capsys.readouterr().err.count('bottle, band statistics alone') == 2
  table = ablation.markdown([first, second], ['bottle', 'dagm'])
  assert f'| {variant} | {first["validation"]:.3f}, 1.000 | – |' in table


def test_tested_runs_are_shown_by_seed() -> None:
  line = {'variant': 'restore', 'set': 'tile', 'aupro': 0.6, 'recall': 0.5, 'false_alarm_rate': 0.1}
  lines = [{**line, 'seed': 0, 'test': 0.9}, {**line, 'seed': 1, 'test': 0.8}, {**line, 'seed': 2}]
  row = ablation.by_seed(lines, ['bottle', 'tile']).splitlines()[2]
  assert row.startswith('| tile | restore | 0, 1: 0.900, 0.800 | 0.8500 | 0.600 | 0.500, 0.500; ')
