import re
from pathlib import Path

import pytest

from ocrgan_jax.core import platforms, sharding
from ocrgan_jax.training import plan
from ocrgan_jax.training.resolving import resolve
from ocrgan_jax.training.train import train
from tests.conftest import tiny_config


def test_the_time_left_is_printed_after_the_first_steps(
  mvtec_folder: Path,
  tmp_path: Path,
  capsys: pytest.CaptureFixture,
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  monkeypatch.setattr(plan, 'MEASURED_STEPS', 2)
  train(tiny_config(mvtec_folder), tmp_path / 'run')
  assert re.search(r'about \d+ s to the last step', capsys.readouterr().err)


@pytest.mark.parametrize(
  ('fields', 'on_cpu', 'on_accelerator'),
  [
    ({}, 'float32', 'bfloat16'),
    ({'model__dtype': 'float32'}, 'float32', 'float32'),
    ({'model__dtype': 'bfloat16'}, 'bfloat16', 'bfloat16'),
  ],
)
def test_accelerators_compute_in_bfloat16_unless_told_otherwise(
  fields: dict, on_cpu: str, on_accelerator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
  config = tiny_config('', **fields)
  assert resolve(config).model.dtype == on_cpu
  monkeypatch.setattr(platforms, 'on_accelerator', lambda: True)
  assert resolve(config).model.dtype == on_accelerator


def test_a_long_run_on_a_cpu_says_how_to_be_faster() -> None:
  mesh = sharding.make_mesh()
  assert plan.describe_time(600, mesh) == 'about 10 min to the last step'
  long = plan.describe_time(4 * 3600, mesh)
  assert long.startswith('about 4.0 h to the last step; on a CPU, lower model.width, image_size')


def test_warnings_name_what_is_too_little(
  mvtec_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
  plan.warn_of_few_parts(20)
  assert not capsys.readouterr().err
  train(tiny_config(mvtec_folder, train__epochs=1), tmp_path / 'run')
  told = capsys.readouterr().err
  assert 'warning: only 3 steps, too few for the networks' in told
  assert 'warning: only 2 parts set the threshold' in told and 'data.validation_share' in told
