import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.inference.loading import load
from ocrgan_jax.training.divergence import report_stalled
from ocrgan_jax.training.log import TrainingLog
from ocrgan_jax.training.train import train
from tests.conftest import smooth_image, tiny_config, write_images

pytestmark = pytest.mark.slow


def test_a_loss_that_is_not_finite_stops_training_and_is_documented(
  mvtec_folder: Path, tmp_path: Path
) -> None:
  workdir = tmp_path / 'run'
  train(tiny_config(mvtec_folder, train__epochs=1, train__log_every=4), workdir)
  config = json.loads((workdir / 'config.json').read_text())
  config['train']['learning_rate'] = 1e30  # from here on, as if it had been so
  (workdir / 'config.json').write_text(json.dumps(config))
  broken = {'train__learning_rate': 1e30, 'train__log_every': 4, 'train__epochs': 20}
  with pytest.raises(InputError, match=r'the loss \w+ is not finite at step \d+ .*not_finite'):
    train(tiny_config(mvtec_folder, **broken), workdir)
  evidence = json.loads((workdir / 'not_finite.json').read_text())
  assert evidence['step'] > 3 and {'nan', 'inf'} & {*evidence['losses'].values()}
  names = {f'train/good/{i:03}.png' for i in range(20)}
  assert len(evidence['images']) == 8 and names.issuperset(evidence['images'])
  assert np.isfinite(load(workdir).score(np.zeros((1, 32, 32, 3), np.uint8))).all()


def test_two_images_and_a_batch_of_one_train(tmp_path: Path) -> None:
  rng = np.random.default_rng(0)
  write_images(tmp_path / 'data/tile/train/good', [smooth_image(rng, 32) for _ in range(2)])
  write_images(tmp_path / 'data/tile/test/good', [smooth_image(rng, 32)])
  config = tiny_config(tmp_path / 'data', train__batch_size=1)
  assert int(train(config, tmp_path / 'run').step) == 2


def test_black_images_with_a_huge_learning_rate_end_in_one_line(tmp_path: Path) -> None:
  black = np.zeros((10, 32, 32, 3), np.uint8)
  black[np.arange(10), 0, np.arange(10)] = 1  # or they would be one photograph ten times
  for place in ('train/good', 'test/good', 'test/bad'):
    write_images(tmp_path / 'data/tile' / place, list(black))
  config = tiny_config(tmp_path / 'data', train__learning_rate=1e6, train__epochs=12)
  with pytest.raises(InputError, match='not finite at step'):
    train(config, tmp_path / 'run')


def test_a_stalled_discriminator_is_reported(
  tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
  log = TrainingLog(tmp_path, step=0, num_steps=4, batch_size=1, num_images=4)
  for loss, told in ((1e-7, True), (0.7, False), (-1.2, False)):
    report_stalled(log, 3, [{'discriminator': loss, 'generator': 0.1}])
    assert ('D has stalled at step 3' in capsys.readouterr().err) == told
  log.close()


def test_a_run_without_its_checkpoints_says_that_it_starts_over(
  mvtec_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
  config, workdir = tiny_config(mvtec_folder, train__epochs=1), tmp_path / 'run'
  train(config, workdir)
  shutil.rmtree(workdir / 'checkpoints')
  assert int(train(config, workdir).step) == 3
  assert f'no checkpoint is left in {workdir}: training starts over' in capsys.readouterr().err
