import re
from pathlib import Path

import pytest

from ocrgan_jax.core import platforms, sharding
from ocrgan_jax.training import plan
from ocrgan_jax.training.run import resolve
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


def test_warnings_name_what_is_too_little() -> None:
  assert plan.warnings_for(1000, 50) == plan.warnings_for(0, 50) == []
  assert plan.warnings_for(299, 50)[0].startswith('only 299 steps')
  assert plan.warnings_for(0, 19)[0].startswith('only 19 held-out parts')
