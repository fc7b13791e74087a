"""The recipe `bands`, from photographs to reports."""

import functools
import json
import shutil
from pathlib import Path

import jax
import ml_collections
import numpy as np
import pytest

from ocrgan_jax.configs import default, folder
from ocrgan_jax.core.errors import Damaged, InputError
from ocrgan_jax.heads.maps import DESCRIPTIONS, SHARES
from ocrgan_jax.inference.export import export
from ocrgan_jax.inference.loading import load
from ocrgan_jax.inference.predict_files import find_images
from ocrgan_jax.model.score_step import score_step
from ocrgan_jax.model.settings import build_model
from ocrgan_jax.model.state import Trained, create_state
from ocrgan_jax.reports.evaluation import evaluate
from ocrgan_jax.runs.training_images import load_training_images
from ocrgan_jax.training.recalibration import calibrate
from ocrgan_jax.training.resolving import choose_image_size, resolve
from ocrgan_jax.training.train import train
from tests.conftest import (
  assert_scores_half,
  smooth_image,
  tiny_config,
  write_data_without_signal,
  write_images,
)

BANDS = {name.replace('.', '__'): value for name, value in default.RECIPES['bands'].items()}


@pytest.fixture(scope='module')
def run(mvtec_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
  """The folder of a tiny fitted run."""
  workdir = tmp_path_factory.mktemp('runs') / 'bands'
  train(tiny_config(mvtec_folder, **BANDS), workdir)
  return workdir


def test_all_images_set_the_threshold_and_none_is_held_out(
  run: Path, mvtec_folder: Path, capsys: pytest.CaptureFixture
) -> None:
  scorer = load(run)
  assert scorer.step == 0 and not scorer.model.trains
  assert scorer.calibration.num_images == scorer.calibration.num_groups == 20
  # Heads that were fitted to an image, too, find it less surprising.
  images, held_out, *_ = load_training_images(scorer.config, run).normal
  known = np.sort(np.concatenate([scorer.score(images), scorer.score(held_out)]))
  assert (scorer.calibration.held_out >= known - 1e-4).mean() > 0.9
  capsys.readouterr()
  train(tiny_config(mvtec_folder, **BANDS), run)
  assert 'nothing left to do' in capsys.readouterr().err


def test_reports_predictions_and_the_export_agree_and_name_the_head(
  run: Path, mvtec_folder: Path, tmp_path: Path
) -> None:
  metrics = evaluate(run)
  assert metrics['image_auroc'] == 1 and metrics['pixel_auroc'] > 0.8
  evaluated = {}
  for line in (run / 'scores.csv').read_text().splitlines()[1:]:
    path, _, score = line.split(',')
    evaluated[Path(path).name, Path(path).parent.name] = float(score)
  scorer, paths = load(run), find_images([str(mvtec_folder / 'tile/test')])
  found = list(scorer.stream_files(paths, maps=tmp_path / 'maps'))
  for p, path in zip(found, paths, strict=True):
    assert p.score == pytest.approx(evaluated[path.name, path.parent.name], rel=1e-4)
    assert p.reason in DESCRIPTIONS.values() and p.place
    assert (p.decision == 'anomalous') == (path.parent.name == 'scratch')
  values = scorer.score_batch(np.zeros((2, 32, 32, 3), np.uint8), ('score', 'map', 'heads'))
  assert values['heads'].shape == (2, len(SHARES))
  # The largest value of the map is the score, so verdict and picture agree.
  np.testing.assert_allclose(values['map'].max((1, 2)), values['score'], rtol=1e-5)
  written = export(run, tmp_path / 'out')
  assert written['files']['scorer.stablehlo']['largest_difference'] <= 1e-4


def test_the_threshold_can_be_changed_and_heads_can_be_left_out(run: Path) -> None:
  before = load(run)
  scorer = calibrate(run, {'false_alarms': 0.2})
  assert scorer.calibration.threshold < before.calibration.threshold
  metrics = evaluate(run, score={'heads': 'dark'}, output=run / 'dark', pictures=False)
  assert metrics['score']['heads'] == 'dark'
  calibrate(run, {}, as_trained=True)
  assert load(run).calibration.threshold == before.calibration.threshold


def folder_config(path: Path) -> ml_collections.ConfigDict:
  return tiny_config(path, **BANDS, data__dataset='folder', data__category='')


@pytest.mark.parametrize(('size', 'expected'), [((400, 300), 256), ((500, 1260), 512)])
def test_large_photographs_get_a_large_model(
  tmp_path: Path, capsys: pytest.CaptureFixture, size: tuple[int, int], expected: int
) -> None:
  write_images(tmp_path / 'sound', [np.full((*size, 3), i, np.uint8) for i in range(3)])
  config = folder.get_config()
  config.data_dir, config.data.groups = str(tmp_path / 'sound'), 'none'
  assert resolve(config).image_size == expected
  assert f'image_size is {expected}' in capsys.readouterr().err
  config.image_size = 64
  assert choose_image_size(config) == 64
  assert not capsys.readouterr().err


def test_photographs_that_are_all_equal_are_refused_in_one_line(tmp_path: Path) -> None:
  write_images(tmp_path / 'black', [np.zeros((32, 32, 3), np.uint8)] * 6)
  with pytest.raises(InputError, match='all 6 training images are the same') as caught:
    train(folder_config(tmp_path / 'black'), tmp_path / 'run')
  assert '\n' not in str(caught.value)


def test_two_photographs_tell_the_same_part_from_another(tmp_path: Path) -> None:
  part = smooth_image(np.random.default_rng(0), 40)
  write_images(tmp_path / 'sound', [part, np.roll(part, 3, 0)])
  write_images(tmp_path / 'new', [np.roll(part, 2, 0), 255 - part])
  train(folder_config(tmp_path / 'sound'), tmp_path / 'run')
  same, other = load(tmp_path / 'run').score_files(sorted((tmp_path / 'new').iterdir()))
  assert same.score < other.score < np.inf and other.decision == 'anomalous'


@pytest.mark.slow
def test_data_without_signal_scores_half(tmp_path: Path) -> None:
  write_data_without_signal(tmp_path)
  train(tiny_config(tmp_path, **BANDS), tmp_path / 'run')
  assert_scores_half(tmp_path / 'run')


@pytest.mark.slow
def test_onnx_runtime_scores_by_the_heads(run: Path, tmp_path: Path) -> None:
  pytest.importorskip('jax2onnx', reason="ONNX needs pip install -e '.[onnx]'")
  export(run, tmp_path / 'out', onnx=True)
  description = json.loads((tmp_path / 'out/scorer.json').read_text())
  assert description['files']['scorer.onnx']['images_compared'] == 11


def test_the_kind_of_score_belongs_to_the_recipe(run: Path, trained: Path, tmp_path: Path) -> None:
  for workdir, kind in ((trained, 'heads'), (run, 'map')):
    with pytest.raises(InputError, match=f'score.kind={kind} does not fit this run') as caught:
      evaluate(workdir, score={'kind': kind}, output=tmp_path, pictures=False)
    assert '\n' not in str(caught.value)


def test_the_papers_score_computes_no_statistics() -> None:
  model = build_model(tiny_config(''))
  state = jax.eval_shape(functools.partial(create_state, model), 0)
  images = np.zeros((4, 32, 32, 3), np.uint8)
  score = lambda s, x: score_step(Trained(s, np.float32(1)), x, model=model)['score']
  text = jax.jit(score).lower(state, images).as_text()
  assert 'stablehlo.log ' not in text and 'stablehlo.convolution' in text


def test_a_fit_that_fails_leaves_nothing(
  mvtec_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  """Wherever it is interrupted: while it measures, while it writes, while it saves."""
  config = tiny_config(mvtec_folder, **BANDS)
  for place, name in (
    ('training.bands', 'fit_heads'),
    ('runs.training_images.run_folder', 'write_run_files'),
    ('runs.checkpoint', 'digests_of'),
  ):
    monkeypatch.setattr(f'ocrgan_jax.{place}.{name}', interrupt)
    with pytest.raises(KeyboardInterrupt):
      train(config, tmp_path / 'run')
    monkeypatch.undo()
    assert not (tmp_path / 'run').exists()
  train(config, tmp_path / 'run')
  assert load(tmp_path / 'run').step == 0


def test_a_fit_that_fails_in_an_earlier_run_keeps_what_was_there(
  run: Path, mvtec_folder: Path, tmp_path: Path
) -> None:
  """Its only checkpoint is damaged, so the fit cannot be saved; a report lies beside it."""
  workdir = Path(shutil.copytree(run, tmp_path / 'run'))
  (workdir / 'checkpoints/0/metrics/metrics').write_text('damaged')
  (workdir / 'report.html').write_text('of the run')
  before = sorted(workdir.rglob('*'))
  with pytest.raises(Damaged, match='no other one is intact'):
    train(tiny_config(mvtec_folder, **BANDS), workdir)
  assert sorted(workdir.rglob('*')) == before


def interrupt(*_: object) -> None:
  raise KeyboardInterrupt


@pytest.mark.parametrize('recipe', ['bands', 'paper'])
def test_scoring_moves_nothing_to_the_device_but_images(
  recipe: str, run: Path, trained: Path
) -> None:
  scorer = load(run if recipe == 'bands' else trained)
  images = np.zeros((3, 32, 32, 3), np.uint8)
  with jax.transfer_guard_host_to_device('disallow'):
    values = scorer.score_batch(images, scorer.explained_by)
  assert len(values['score']) == 3
