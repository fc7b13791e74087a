import shutil
from pathlib import Path

import ml_collections
import pytest

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.inference.loading import load
from ocrgan_jax.runs.saved_calibration import save_calibration


def test_a_calibration_with_a_setting_that_is_gone_is_refused(
  trained: Path, tmp_path: Path
) -> None:
  workdir = Path(shutil.copytree(trained, tmp_path / 'run'))
  scorer = load(workdir)
  old = ml_collections.ConfigDict({**scorer.config.score.to_dict(), 'map_units': 'pixel'})
  save_calibration(workdir, scorer.step, scorer.calibration, scorer.arrays, old)
  with pytest.raises(InputError, match="unknown field 'score.map_units'") as caught:
    load(workdir)
  assert str(workdir / 'calibrations') in str(caught.value) and '\n' not in str(caught.value)
