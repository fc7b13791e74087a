import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.inference import export as module
from ocrgan_jax.inference.export import compare, export, run_onnx, to_onnx
from ocrgan_jax.inference.loading import load
from ocrgan_jax.inference.predict_files import find_images
from tests.conftest import REPOSITORY, smooth_image


def run_example(folder: Path, *paths: Path) -> subprocess.CompletedProcess[str]:
  """Runs the example as it stands, where importing this package is an error."""
  (folder / 'ocrgan_jax.py').write_text('raise ImportError("the export needs the package")')
  example = REPOSITORY / 'examples/score_exported.py'
  return subprocess.run(
    [sys.executable, str(example), str(folder), *map(str, paths)],
    env={**os.environ, 'PYTHONPATH': str(folder)},
    capture_output=True,
    text=True,
    check=False,
  )


def odd_images(folder: Path) -> list[Path]:
  """Writes one image for each conversion that the example has to do as in training."""
  image = Image.fromarray(smooth_image(np.random.default_rng(1), 40)).crop((0, 0, 40, 24))
  deep = np.asarray(image.convert('L')).astype(np.uint16) * 257
  transparent = image.copy()
  transparent.putalpha(image.getchannel('R'))
  turned = Image.Exif()
  turned[0x0112] = 6
  Image.fromarray(deep).save(folder / 'deep.png')
  image.quantize(16).save(folder / 'palette.png')
  transparent.save(folder / 'rgba.png')
  transparent.convert('LA').save(folder / 'la.png')
  image.convert('CMYK').save(folder / 'cmyk.jpg')
  image.save(folder / 'turned.jpg', exif=turned)
  return find_images([str(folder)])


def test_the_export_gives_the_models_scores_without_this_package(
  trained: Path, mvtec_folder: Path, tmp_path: Path
) -> None:
  description = export(trained, tmp_path / 'out')
  assert description == json.loads((tmp_path / 'out/scorer.json').read_text())
  row = description['files']['scorer.stablehlo']
  assert row['images_compared'] == 11 and row['largest_difference'] <= 1e-4
  (tmp_path / 'odd').mkdir()
  odd = odd_images(tmp_path / 'odd')
  assert len(odd) == 6
  paths = find_images([str(mvtec_folder / 'tile/test')]) + odd
  scorer = load(trained)
  expected = list(scorer.stream_files(paths))
  done = run_example(tmp_path / 'out', *paths)
  assert done.returncode == 0, done.stderr
  rows = [line.split(',') for line in done.stdout.splitlines()]
  assert [row[0] for row in rows] == [p.path for p in expected]
  np.testing.assert_allclose([float(r[1]) for r in rows], [p.score for p in expected], rtol=1e-4)
  assert [row[2] for row in rows] == [p.decision for p in expected]
  for pixels, reason in (
    (np.full((16, 16), 0.7, np.float32), 'its pixels are floats'),
    (np.full((16, 16), 70000, np.int32), 'its pixels need more than 16 bits'),
  ):
    Image.fromarray(pixels).save(tmp_path / 'wrong.tif')
    refused = run_example(tmp_path / 'out', tmp_path / 'wrong.tif')
    assert refused.returncode == 1 and len(refused.stderr.splitlines()) == 1
    assert refused.stderr.startswith(f'error: {tmp_path}/wrong.tif: {reason}')


def test_an_export_with_other_scores_is_not_written(
  trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  def slightly_wrong(content: bytes) -> object:
    run = module.jax.export.deserialize(bytearray(content)).call
    return lambda images: [1.01 * np.asarray(output) for output in run(images)]

  monkeypatch.setattr(module, 'run_stablehlo', slightly_wrong)
  with pytest.raises(
    InputError, match=r'scorer.stablehlo differs from the checkpoint by 0.0\d+ units of scores'
  ):
    export(trained, tmp_path / 'out')
  assert not (tmp_path / 'out').exists()


def test_differences_count_in_the_units_of_scores_and_maps(trained: Path) -> None:
  """A sound export may differ by rounding, which is large beside the map of a sound image."""
  scorer = load(trained)
  images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
  # The two held-out scores of this run hardly differ.
  width, score = scorer.calibration.width, scorer.score(images).max()
  unit = max(width, 0.01 * score) / width

  def moved(by_score: float, by_map: float) -> float:
    def exported(images: np.ndarray) -> tuple[np.ndarray, ...]:
      values = scorer.score_batch(images, ('score', 'map'))
      raised = values['map'] + by_map * scorer.map_limit(1.0)
      return scorer.scale(values['score'].astype(np.float64)) + by_score * unit, raised

    return compare(scorer, images, exported, 'scorer.onnx')

  assert moved(2e-4, 0) == pytest.approx(2e-4, rel=0.3)
  assert moved(0, 2e-4) == pytest.approx(2e-4, rel=0.3)
  for by_score, by_map in ((2e-3, 0), (0, 2e-3), (0, np.nan)):
    with pytest.raises(InputError, match=r'scorer.onnx differs from the checkpoint by'):
      moved(by_score, by_map)


@pytest.mark.slow
def test_onnx_runtime_gives_the_models_scores(trained: Path) -> None:
  pytest.importorskip('jax2onnx', reason="ONNX needs pip install -e '.[onnx]'")
  scorer = load(trained)
  images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
  assert compare(scorer, images, run_onnx(to_onnx(scorer)), 'scorer.onnx') <= 1e-4


def test_an_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
  (tmp_path / 'export').write_text('mine')
  with pytest.raises(InputError, match='export is a file; --output must be a folder'):
    export(tmp_path / 'no run', tmp_path / 'export')
  assert (tmp_path / 'export').read_text() == 'mine'
