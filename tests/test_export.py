import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ocrgan_jax import export as module
from ocrgan_jax.errors import InputError
from ocrgan_jax.export import compare, export, run_onnx, to_onnx
from ocrgan_jax.predict import find_images, predict
from ocrgan_jax.scorer import load
from tests.conftest import REPOSITORY


def test_the_export_scores_as_the_model_does_without_this_package(
  trained: Path, mvtec_folder: Path, tmp_path: Path
) -> None:
  description = export(trained, tmp_path / 'out')
  assert description == json.loads((tmp_path / 'out/scorer.json').read_text())
  row = description['files']['scorer.stablehlo']
  assert row['images_compared'] == 11 and row['largest_difference'] <= 1e-5
  paths = find_images([str(mvtec_folder / 'tile/test')])
  scorer = load(trained)
  expected = list(predict(scorer, paths))
  # The example as it stands, where importing this package is an error.
  (tmp_path / 'ocrgan_jax.py').write_text('raise ImportError("the export needs the package")')
  example = REPOSITORY / 'examples/score_exported.py'
  done = subprocess.run(
    [sys.executable, str(example), str(tmp_path / 'out'), *map(str, paths)],
    env={**os.environ, 'PYTHONPATH': str(tmp_path)},
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  rows = [line.split(',') for line in done.stdout.splitlines()]
  assert [row[0] for row in rows] == [p.path for p in expected]
  np.testing.assert_allclose([float(r[1]) for r in rows], [p.score for p in expected], rtol=1e-5)
  assert [row[3] for row in rows] == [p.decision for p in expected]


def test_an_export_that_differs_is_not_written(
  trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  def slightly_wrong(content: bytes) -> object:
    run = module.jax.export.deserialize(bytearray(content)).call
    return lambda images: [1.0001 * np.asarray(output) for output in run(images)]

  monkeypatch.setattr(module, 'run_stablehlo', slightly_wrong)
  with pytest.raises(InputError, match=r'scorer.stablehlo differs from the checkpoint by 0.0001'):
    export(trained, tmp_path / 'out')
  assert not (tmp_path / 'out').exists()


def test_onnx_runtime_scores_as_the_model_does(trained: Path) -> None:
  pytest.importorskip('jax2onnx', reason="ONNX needs pip install -e '.[onnx]'")
  scorer = load(trained)
  images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
  assert compare(scorer, images, run_onnx(to_onnx(scorer)), 'scorer.onnx') <= 1e-5
