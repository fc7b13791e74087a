import io
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from PIL import Image

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.images import hold_out
from ocrgan_jax.inference.loading import load
from ocrgan_jax.training.train import train
from tests.conftest import assert_scores_half, decode_image, tiny_config, write_data_without_signal


def losses(workdir: Path) -> list[dict[str, float]]:
  lines = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
  for line in lines:
    line.pop('images_per_second', None)
  return lines


def test_resumed_training_equals_uninterrupted_training(
  mvtec_folder: Path, trained: Path, tmp_path: Path
) -> None:
  train(tiny_config(mvtec_folder, train__epochs=1), tmp_path / 'run')
  # As after a kill: there are lines logged after the checkpoint, and the last is incomplete.
  with (tmp_path / 'run/metrics.jsonl').open('a') as file:
    file.write('{"step": 999, "epoch": 99.0, "generator": 0.0}\n{"step": 1000, "ep')
  resumed = train(tiny_config(mvtec_folder, train__epochs=2), tmp_path / 'run')
  # Trained again from the start for its state; the fixture gives only a folder.
  whole = train(tiny_config(mvtec_folder, train__epochs=2), tmp_path / 'whole')
  jax.tree.map(np.testing.assert_array_equal, resumed, whole)
  assert losses(tmp_path / 'run') == losses(tmp_path / 'whole') == losses(trained)


def test_channel_selection_is_in_the_checkpoint_for_other_scripts(trained: Path) -> None:
  """Reads it as a user's script would, with orbax alone."""
  step = max(int(path.name) for path in (trained / 'checkpoints').iterdir())
  state = ocp.StandardCheckpointer().restore(trained / f'checkpoints/{step}/state')
  assert int(state['step']) == step
  params = state['generator']['params']
  assert {name for name in params if name.startswith('cs')} == {f'cs{i}' for i in range(1, 6)}
  # Trained: its biases have left the 0 that they start at.
  assert np.abs(params['cs1']['branch1']['bias']).max() > 0


def test_data_without_signal_scores_half(tmp_path: Path) -> None:
  """From images to metrics."""
  write_data_without_signal(tmp_path / 'data')
  config = tiny_config(tmp_path / 'data', train__epochs=4)
  train(config, tmp_path / 'run')
  assert_scores_half(tmp_path / 'run')


def test_a_damaged_file_stops_the_run_before_anything_is_written(
  mvtec_folder: Path, tmp_path: Path
) -> None:
  shutil.copytree(mvtec_folder, tmp_path / 'data')
  damaged = tmp_path / 'data/tile/train/good/003.png'
  damaged.write_text('this is no image')
  with pytest.raises(InputError, match=r'003.png \(not an image\)'):
    train(tiny_config(tmp_path / 'data'), tmp_path / 'run')
  assert not (tmp_path / 'run').exists()


def test_the_threshold_of_a_run_is_for_the_rate_in_its_config(
  mvtec_folder: Path, trained: Path, tmp_path: Path
) -> None:
  """Recomputed from the scores of its held-out images; by default their highest: they are few."""
  low = tiny_config(
    mvtec_folder, train__epochs=1, data__validation_share=0.5, score__false_alarms=0.75
  )
  train(low, tmp_path / 'low')
  for workdir, share, rank in ((trained, 0.1, 2), (tmp_path / 'low', 0.5, 3)):
    scorer = load(workdir)
    _, held_out = hold_out(np.arange(20), share, 0)
    paths = sorted((mvtec_folder / 'tile/train/good').iterdir())
    images = [decode_image(paths[i].read_bytes(), 32) for i in held_out]
    scores = scorer.score(np.stack(images))
    assert len(set(scores)) > 1
    assert scorer.calibration.threshold == pytest.approx(np.sort(scores)[rank - 1], rel=1e-5)


def test_tensorboard_shows_pictures_and_the_config(mvtec_folder: Path, tmp_path: Path) -> None:
  train(tiny_config(mvtec_folder, train__epochs=1, train__pictures=True), tmp_path / 'run')
  (events,) = (tmp_path / 'run/tensorboard').iterdir()
  content = events.read_bytes()
  assert b'held_out' in content and b'forged' in content and b'"learning_rate"' in content
  start = content.index(b'\x89PNG')
  picture = Image.open(io.BytesIO(content[start:]))
  assert picture.size == (2 * 32, 4 * 32)  # the two held-out images, and four views of each
