import re
from pathlib import Path

import pytest

from ocrgan_jax.core import sharding
from ocrgan_jax.training import outlook
from ocrgan_jax.training.train import train
from tests.conftest import tiny_config


def test_the_time_to_the_end_is_told_as_soon_as_it_is_known(
  mvtec_folder: Path,
  tmp_path: Path,
  capsys: pytest.CaptureFixture,
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  monkeypatch.setattr(outlook, 'MEASURED_STEPS', 2)
  train(tiny_config(mvtec_folder), tmp_path / 'run')
  assert re.search(r'about \d+ s to the last step', capsys.readouterr().err)


def test_a_long_run_on_a_cpu_is_told_what_is_faster() -> None:
  mesh = sharding.make_mesh()
  assert outlook.describe_time(600, mesh) == 'about 10 min to the last step'
  long = outlook.describe_time(4 * 3600, mesh)
  assert long.startswith('about 4.0 h to the last step: long for a CPU; a smaller model.width')


def test_doubts_are_about_what_is_too_little() -> None:
  assert outlook.doubts(1000, 50) == outlook.doubts(0, 50) == []
  assert outlook.doubts(299, 50)[0].startswith('only 299 steps')
  assert outlook.doubts(0, 19)[0].startswith('only 19 held-out images')
