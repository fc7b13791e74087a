import json
import shutil
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from ocrgan_jax.checks import read
from ocrgan_jax.data.decoding import decode_image
from ocrgan_jax.data.pipeline import hold_out
from ocrgan_jax.errors import InputError
from ocrgan_jax.evaluate import evaluate
from ocrgan_jax.schedule import Schedule, choose_batch_size
from ocrgan_jax.scorer import load
from ocrgan_jax.train import train
from tests.conftest import smooth_image, tiny_config, write_images


def losses(workdir: Path) -> list[dict[str, float]]:
  lines = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
  for line in lines:
    line.pop('images_per_second', None)
  return lines


def test_training_stopped_and_resumed_equals_training_not_stopped(
  mvtec_folder: Path, trained: Path, tmp_path: Path
) -> None:
  train(tiny_config(mvtec_folder, train__epochs=1), tmp_path / 'run')
  # As a kill after the checkpoint would leave it: lines logged past it, the last cut short.
  with (tmp_path / 'run/metrics.jsonl').open('a') as file:
    file.write('{"step": 999, "epoch": 99.0, "generator": 0.0}\n{"step": 1000, "ep')
  resumed = train(tiny_config(mvtec_folder, train__epochs=2), tmp_path / 'run')
  # Trained once more from the start, to have the state: the fixture keeps only its folder.
  whole = train(tiny_config(mvtec_folder, train__epochs=2), tmp_path / 'whole')
  jax.tree.map(np.testing.assert_array_equal, resumed, whole)
  assert losses(tmp_path / 'run') == losses(tmp_path / 'whole') == losses(trained)


def test_channel_selection_is_in_the_checkpoint_for_other_scripts(trained: Path) -> None:
  """As a script of a user's own would read it, with orbax alone."""
  step = max(int(path.name) for path in (trained / 'checkpoints').iterdir())
  state = ocp.StandardCheckpointer().restore(trained / f'checkpoints/{step}/state')
  assert int(state['step']) == step
  params = state['generator']['params']
  assert {name for name in params if name.startswith('cs')} == {f'cs{i}' for i in range(1, 6)}
  # Trained: its biases have left the 0 that they start at.
  assert np.abs(params['cs1']['branch1']['bias']).max() > 0


def test_data_without_signal_scores_half(tmp_path: Path) -> None:
  """Normal and 'anomalous' images of one distribution, through the whole of the code."""
  rng, root = np.random.default_rng(1), tmp_path / 'data/tile'
  draw = lambda count: [smooth_image(rng, 32) for _ in range(count)]
  write_images(root / 'train/good', draw(40))
  write_images(root / 'test/good', draw(100))
  write_images(root / 'test/defect', draw(100))
  train(tiny_config(root.parent, train__epochs=4, train__checkpoint_every=4), tmp_path / 'run')
  for protocol in ('last', 'validation'):
    metrics = evaluate(tmp_path / 'run', protocol=protocol, pictures=False)
    assert (metrics['num_normal'], metrics['num_anomalous']) == (100, 100)
    # Three standard errors of an AUROC that is 0.5, Mann and Whitney's
    # sqrt((n + m + 1) / (12 n m)); the seed is fixed, so this never flickers.
    assert abs(metrics['image_auroc'] - 0.5) < 3 * np.sqrt(201 / 120_000)


def test_other_configs_and_foreign_folders_are_left_alone(
  mvtec_folder: Path, trained: Path, tmp_path: Path
) -> None:
  before = sorted(trained.rglob('*'))
  with pytest.raises(InputError, match=r'another config \(model.discriminator_width is 2'):
    train(tiny_config(mvtec_folder, model__width=4), trained)
  assert sorted(trained.rglob('*')) == before
  (tmp_path / 'letter.txt').write_text('mine')
  with pytest.raises(InputError, match='is not empty and holds no run'):
    train(tiny_config(mvtec_folder), tmp_path)
  assert [path.name for path in tmp_path.iterdir()] == ['letter.txt']


def test_a_damaged_file_stops_the_run_before_anything_is_written(
  mvtec_folder: Path, tmp_path: Path
) -> None:
  shutil.copytree(mvtec_folder, tmp_path / 'data')
  damaged = tmp_path / 'data/tile/train/good/003.png'
  damaged.write_text('this is no image')
  with pytest.raises(InputError, match=r'003.png \(not an image\)'):
    train(tiny_config(tmp_path / 'data'), tmp_path / 'run')
  assert not (tmp_path / 'run').exists()


def test_batch_shrinks_to_the_training_set_with_a_warning(capsys: pytest.CaptureFixture) -> None:
  assert choose_batch_size(32, 100, 4) == 32
  assert not capsys.readouterr().err
  assert choose_batch_size(32, 10, 4) == 8
  assert 'only 10 images to train on: train.batch_size is 8, not 32' in capsys.readouterr().err
  with pytest.raises(InputError, match='use a multiple of 4'):
    choose_batch_size(30, 100, 4)
  with pytest.raises(InputError, match='3 training image'):
    choose_batch_size(32, 3, 4)


def test_checkpoints_are_at_the_ends_of_epochs_and_at_the_last() -> None:
  # 20 images in batches of 8: epochs end within steps 3, 5, 8, 10 and 13.
  schedule = read(Schedule, tiny_config('', train__epochs=5, train__checkpoint_every=2).train)
  assert schedule.checkpoint_steps(20, 8) == {5, 10, 13}


def test_a_finished_run_is_left_as_it_is(
  mvtec_folder: Path, trained: Path, capsys: pytest.CaptureFixture
) -> None:
  before = {path: path.stat().st_mtime_ns for path in trained.glob('*.json*')}
  state = train(tiny_config(mvtec_folder, train__epochs=1), trained)
  assert 'nothing left to train' in capsys.readouterr().err and int(state.step) == 5
  assert {path: path.stat().st_mtime_ns for path in trained.glob('*.json*')} == before


def test_a_run_goes_on_with_its_own_images_only(
  mvtec_folder: Path, trained: Path, tmp_path: Path
) -> None:
  # The same images elsewhere will do; other ones will not.
  shutil.copytree(mvtec_folder, tmp_path / 'data')
  train(tiny_config(tmp_path / 'data'), trained)
  (tmp_path / 'data/tile/train/good/003.png').unlink()
  with pytest.raises(InputError, match=r'not those that the run .* began with \(20 then, 19 now'):
    train(tiny_config(tmp_path / 'data'), trained)
  # Were a training image to come into the test set by a new split, evaluation would stop.
  moved = mvtec_folder / 'tile/train/good/003.png'
  shutil.copy(moved, tmp_path / 'data/tile/test/good/moved.png')
  with pytest.raises(InputError, match=r'1 test images, test/good/moved.png the first'):
    evaluate(trained, data_dir=str(tmp_path / 'data'), pictures=False)


def test_the_threshold_of_a_run_is_the_quantile_in_its_config(
  mvtec_folder: Path, trained: Path, tmp_path: Path
) -> None:
  """On the scores of its held-out images, computed anew: by default the 0.99 quantile."""
  low = tiny_config(
    mvtec_folder, train__epochs=1, data__validation_share=0.5, score__threshold_quantile=0.25
  )
  train(low, tmp_path / 'low')
  for workdir, share, quantile in ((trained, 0.1, 0.99), (tmp_path / 'low', 0.5, 0.25)):
    scorer = load(workdir)
    _, held_out = hold_out(20, share, 0)
    paths = sorted((mvtec_folder / 'tile/train/good').iterdir())
    images = [decode_image(paths[i].read_bytes(), 32) for i in held_out]
    scores = scorer.score(np.stack(images))
    assert len(set(scores)) > 1
    expected = np.quantile(scores, quantile)
    assert scorer.calibration.threshold == pytest.approx(expected, rel=1e-5)
    assert scorer.config.score.threshold_quantile == quantile


def test_a_run_of_an_earlier_version_is_read_with_todays_defaults(
  mvtec_folder: Path, trained: Path, tmp_path: Path
) -> None:
  shutil.copytree(trained, tmp_path / 'run')
  path = tmp_path / 'run/config.json'
  config = json.loads(path.read_text())
  del config['score']['map'], config['train']['log_every']
  path.write_text(json.dumps(config))
  assert load(tmp_path / 'run').config.score.map == 'difference'
  # It goes on, too.
  assert int(train(tiny_config(mvtec_folder), tmp_path / 'run').step) == 5
  config['score']['mapp'] = 'difference'
  path.write_text(json.dumps(config))
  with pytest.raises(InputError, match=r"config.json has an unknown field 'score.mapp'"):
    load(tmp_path / 'run')
