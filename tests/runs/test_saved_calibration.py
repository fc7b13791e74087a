import shutil
from pathlib import Path

import ml_collections
import pytest

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.inference.loading import load
from ocrgan_jax.runs.saved_calibration import restore_calibration, save_calibration


def save_as_version_0_1(workdir: Path, map_units: str) -> ml_collections.ConfigDict:
  """Saves a calibration whose score has the field `map_units`, which is gone since 0.2."""
  scorer = load(workdir)
  chosen = scorer.config.score.copy_and_resolve_references()
  chosen.threshold_quantile = 0.5
  old = ml_collections.ConfigDict({**chosen.to_dict(), 'map_units': map_units})
  calibration = scorer.calibration._replace(threshold=scorer.calibration.threshold + 1)
  save_calibration(workdir, int(scorer.state.step), calibration, old)
  return chosen


def test_a_calibration_of_version_0_1_is_read(trained: Path, tmp_path: Path) -> None:
  workdir = Path(shutil.copytree(trained, tmp_path / 'run'))
  before = load(workdir).calibration.threshold
  chosen = save_as_version_0_1(workdir, 'overall')
  calibration, score, step = restore_calibration(workdir)
  assert (score, step) == (chosen.to_dict(), 5)
  scorer = load(workdir)
  assert scorer.config.score.threshold_quantile == 0.5
  assert scorer.calibration.threshold == calibration.threshold == pytest.approx(before + 1)


def test_a_calibration_that_used_a_removed_setting_is_refused(
  trained: Path, tmp_path: Path
) -> None:
  workdir = Path(shutil.copytree(trained, tmp_path / 'run'))
  save_as_version_0_1(workdir, 'pixel')
  with pytest.raises(InputError, match="score.map_units is 'pixel', and this version") as caught:
    load(workdir)
  assert str(workdir / 'calibrations') in str(caught.value) and '\n' not in str(caught.value)
