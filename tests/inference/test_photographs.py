"""Padding, tiles and regions of photographs, from training to the export."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocrgan_jax.configs import folder as folder_config
from ocrgan_jax.inference.export import export
from ocrgan_jax.inference.loading import load
from ocrgan_jax.inference.scorer import Scorer
from ocrgan_jax.reports.evaluation import evaluate
from ocrgan_jax.training.train import train
from tests.conftest import smooth_image, write_images
from tests.inference.test_export import run_example
from tests.inference.test_predict import read_csv

pytestmark = pytest.mark.slow

SCRATCH = slice(30, 60)


def photograph(rng: np.random.Generator, scratched: slice | None = None) -> np.ndarray:
  """48×96 pixels: a noisy product on a plain border, with a scratch in some columns if given."""
  image = np.full((48, 96, 3), 250, np.uint8)
  product = smooth_image(np.random.default_rng(1), 40) // 2 + rng.integers(0, 80, (40, 40, 3))
  image[4:44, 4:92] = np.asarray(Image.fromarray(product.astype(np.uint8)).resize((88, 40)))
  if scratched:
    image[18:22, scratched] = 255
    image[22:26, scratched] = 0
  return image


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
  root, rng = tmp_path_factory.mktemp('wide'), np.random.default_rng(0)
  write_images(root / 'train/good', [photograph(rng) for _ in range(24)])
  write_images(root / 'test/good', [photograph(rng) for _ in range(4)])
  write_images(root / 'test/scratch', [photograph(rng, SCRATCH) for _ in range(4)])
  mask = np.zeros((48, 96), np.uint8)
  mask[18:26, SCRATCH] = 255
  write_images(root / 'ground_truth/scratch', [mask] * 4)
  return root


def fitted(data: Path, workdir: Path, **fields: object) -> Scorer:
  config = folder_config.get_config('bands')
  config.data_dir, config.image_size = str(data), 32
  config.data.update(fields, validation_share=0.25)
  train(config, workdir)
  return load(workdir)


@pytest.mark.parametrize(
  'fields', [{'fit': 'tiles', 'tile': 40}, {'fit': 'pad', 'region': 'auto'}], ids=str
)
def test_evaluate_predict_and_the_export_give_the_same_scores(
  data: Path, tmp_path: Path, capsys: pytest.CaptureFixture, fields: dict
) -> None:
  scorer = fitted(data, tmp_path / 'run', **fields)
  # The calibration counts photographs, not tiles; the tiles of one are left out together.
  assert '; none are held out' in capsys.readouterr().err
  assert scorer.model.channels == 4 and scorer.calibration.num_images == 24
  metrics = evaluate(tmp_path / 'run')
  assert metrics['image_auroc'] == 1 and metrics['pixel_auroc'] > 0.85
  assert (metrics['num_normal'], metrics['num_anomalous'], metrics['num_masks']) == (4, 4, 4)
  evaluated = [float(row['score']) for row in read_csv(tmp_path / 'run/scores.csv')]
  paths = sorted((data / 'test').rglob('*.png'))
  predicted = [p.score for p in scorer.score_files(paths)]
  np.testing.assert_allclose(predicted, evaluated, rtol=1e-4)
  assert export(tmp_path / 'run', tmp_path / 'out')['input']['shape'] == ['batch', 32, 32, 4]
  done = run_example(tmp_path / 'out', *paths)
  assert done.returncode == 0, done.stderr
  exported = [float(line.split(',')[1]) for line in done.stdout.splitlines()]
  np.testing.assert_allclose(exported, predicted, rtol=1e-4)


def test_changes_outside_the_region_do_not_count(data: Path, tmp_path: Path) -> None:
  region = np.zeros((48, 96), np.uint8)
  region[:, :30] = 255
  Image.fromarray(region).save(tmp_path / 'region.png')
  scorer = fitted(data, tmp_path / 'run', region=str(tmp_path / 'region.png'))
  pictures = []
  for columns in (None, slice(60, 66), slice(12, 18)):
    pictures.append(tmp_path / f'{len(pictures)}.png')
    Image.fromarray(photograph(np.random.default_rng(5), columns)).save(pictures[-1])
  sound, outside, inside = (p.score for p in scorer.score_files(pictures))
  assert outside == pytest.approx(sound, rel=1e-5) and inside > sound + 1
  maps = scorer.maps(scorer.framing.frames(Image.open(pictures[1])))
  assert (maps[0, :, 11:] == 0).all() and maps[0, :, :9].any()


def test_without_a_plain_background_the_whole_image_counts(
  mvtec_folder: Path, tmp_path: Path
) -> None:
  scorer = fitted(mvtec_folder / 'tile', tmp_path / 'run', region='auto')
  assert scorer.model.channels == scorer.framing.channels == 4
  image = Image.open(mvtec_folder / 'tile/test/good/000.png')
  assert (scorer.framing.frames(image)[..., 3] == 255).all()
