"""The recipe `restore`, end to end."""

import functools
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import orbax.checkpoint as ocp
import pytest

from ocrgan_jax.configs import default
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.density import gaussian
from ocrgan_jax.inference.export import export
from ocrgan_jax.inference.loading import load
from ocrgan_jax.inference.predict_files import find_images
from ocrgan_jax.model.ocrgan import OCRGAN
from ocrgan_jax.model.score_step import score_step
from ocrgan_jax.model.settings import build_model
from ocrgan_jax.model.state import State, create_state
from ocrgan_jax.optimization import losses
from ocrgan_jax.reports.evaluation import evaluate
from ocrgan_jax.scoring.anomaly_score import Reference
from ocrgan_jax.training.step import (
  prepare_batch,
  train_step,
  update_discriminator,
  update_generator,
)
from ocrgan_jax.training.train import train
from tests.conftest import TINY, assert_scores_half, tiny_config, write_data_without_signal

pytestmark = pytest.mark.slow

QUICK = {
  **{name: value for name, value in TINY.items() if name != 'train.epochs'},
  'model.discriminator_width': 4,
  'train.steps': 6,
  'train.warmup': 0,
}
# Fewer lists than the preset, and all checkpoints.
EVERYTHING = {'density__channels': 'energy,colour + pixels', 'train__keep_checkpoints': True}
ONE_BAND = {'model__branches': 1, 'model__deviations': False}


def restore_config(data_dir: Path | str, **fields: object) -> ml_collections.ConfigDict:
  """The preset, small enough to train in seconds."""
  changes = {name.replace('__', '.'): value for name, value in fields.items()}
  return tiny_config(data_dir, **{**default.PRESETS['restore'], **QUICK, **changes})


@functools.cache
def restore_model(**fields: object) -> OCRGAN:
  return build_model(restore_config('', **fields))


@functools.partial(jax.jit, static_argnums=0)
def new_state(model: OCRGAN) -> State:
  return create_state(model, 0)


step = jax.jit(train_step, static_argnames='model')
prepare = jax.jit(prepare_batch, static_argnames='model')
generator_step = jax.jit(update_generator, static_argnames='model')
discriminator_step = jax.jit(update_discriminator, static_argnames='model')
IMAGES = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope='module')
def run(mvtec_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
  """The folder of a tiny finished run, with all its checkpoints."""
  workdir = tmp_path_factory.mktemp('runs') / 'restore'
  train(restore_config(mvtec_folder, **EVERYTHING), workdir)
  return workdir


def checkpoints(run: Path) -> list[int]:
  return sorted(int(path.name) for path in (run / 'checkpoints').iterdir())


def changed(first: object, second: object) -> bool:
  return any(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a != b).any()), first, second)))


def test_d_learns_from_the_mask_and_g_does_not_depend_on_d() -> None:
  model = restore_model(**ONE_BAND)
  state = new_state(model)
  batch = prepare(state, IMAGES, model=model)
  other = jax.tree.map(lambda x: x + 0.1, state.discriminator.params)
  other = state.replace(discriminator=state.discriminator.replace(params=other))
  first, second = (generator_step(s, batch, model=model)[0].params for s in (state, other))
  assert not changed(first, second)
  after, _ = discriminator_step(state, batch, batch.real, model=model)
  names = {
    name for name, layer in after.params.items() if changed(layer, state.discriminator.params[name])
  }
  assert names == {'logits'}  # starts at 0, so no gradient passes it in the first step
  later = state.replace(discriminator=after)
  again, _ = discriminator_step(later, batch, batch.real, model=model)
  assert all(changed(layer, after.params[name]) for name, layer in again.params.items())


def test_the_mask_marks_what_changed_and_minimizes_ds_loss() -> None:
  model = restore_model(**ONE_BAND)
  batch = prepare(new_state(model), IMAGES, model=model)
  difference = np.asarray(jnp.abs(batch.forged - batch.real).max(-1)).reshape(8, 16, 2, 16, 2)
  assert ((np.asarray(batch.mask) > 0) == (difference > 0).any((2, 4))).all()
  assert 0 < batch.mask.mean() < 0.5
  # The mask itself has the lowest loss; missing defects and false alarms both cost.
  logits = lambda mask: jnp.where(mask > 0.5, 5.0, -5.0)
  loss = lambda x: float(losses.pixel_loss(logits(x), batch.mask, 0.1))
  right = loss(batch.mask)
  assert right < loss(jnp.zeros_like(batch.mask)) and right < loss(jnp.ones_like(batch.mask))


def test_scoring_uses_the_average_of_the_weights(run: Path) -> None:
  state = load(run).state
  for network in (state.generator, state.discriminator):
    assert changed(network.average['params'], network.params)
    assert network.variables is network.average
  model = restore_model(**ONE_BAND)
  state = new_state(model)
  batch = prepare(state, IMAGES, model=model)
  after = generator_step(state, batch, model=model)[0]
  kept = 1 / 10  # at step 0, see _update
  expected = jax.tree.map(
    lambda a, b: kept * a + (1 - kept) * b, state.generator.params, after.params
  )
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), after.average['params'], expected
  )


def test_the_checkpoint_has_average_and_densities(run: Path) -> None:
  folder = run / f'checkpoints/{checkpoints(run)[-1]}'
  state = ocp.StandardCheckpointer().restore(folder / 'state')
  calibration = ocp.StandardCheckpointer().restore(folder / 'calibration')
  assert 'kernel' in state['discriminator']['average']['params']['e1']
  assert state['density']['0']['whitening'].shape == (8, 8, 8, 8)
  # The density of D's features; the one that D sees is in the state.
  shapes = [part['whitening'].shape for part in calibration['density'].values()]
  assert shapes == [(8, 8, 4, 4)]
  assert calibration['map_unit'].shape == (1, 32, 32)


def test_resuming_is_exact(run: Path, mvtec_folder: Path, tmp_path: Path) -> None:
  first, *others = checkpoints(run)
  assert 0 < first < others[-1] == 6
  shutil.copytree(run, tmp_path / 'run')
  for number in others:
    shutil.rmtree(tmp_path / f'run/checkpoints/{number}')
  train(restore_config(mvtec_folder, **EVERYTHING), tmp_path / 'run')
  whole, resumed = load(run), load(tmp_path / 'run')
  jax.tree.map(np.testing.assert_array_equal, whole.state, resumed.state)
  jax.tree.map(np.testing.assert_array_equal, whole.calibration, resumed.calibration)


def test_predict_and_the_export_give_the_same_scores(
  run: Path, mvtec_folder: Path, tmp_path: Path
) -> None:
  metrics = evaluate(run, output=tmp_path / 'evaluation')
  # Every evaluation also reports the preset `statistics` on the same images.
  assert metrics['step'] == 6 and metrics['trivial']['band_statistics'] == 1
  assert np.isfinite(metrics['pixel_auroc'])
  assert (tmp_path / 'evaluation/report.html').exists()
  paths = find_images([str(mvtec_folder / 'tile/test')])
  found = list(load(run).stream_files(paths, maps=tmp_path / 'maps'))
  alone = [next(iter(load(run).stream_files([path]))).score for path in paths[:3]]
  np.testing.assert_allclose(alone, [p.score for p in found[:3]], rtol=1e-4)
  written = export(run, tmp_path / 'out')
  assert written['files']['scorer.stablehlo']['largest_difference'] <= 1e-4


def test_disabled_parts_are_not_compiled() -> None:
  def text(model: OCRGAN, wanted: str = '') -> str:
    state = jax.eval_shape(functools.partial(create_state, model), 0)
    if not wanted:
      return step.lower(state, IMAGES, model=model).as_text()
    score = lambda s, r, x: score_step(s, r, x, model=model)[wanted]
    fitted = gaussian.empty(model.density, 'energy,colour', 32)
    reference = Reference(np.ones((1, 32, 32), np.float32), (fitted,))
    return jax.jit(score).lower(state, reference, IMAGES).compile().as_text()

  convolutions = lambda program: program.count('convolution(')
  everything = text(restore_model(**ONE_BAND))
  bands = {'density__channels': 'energy,colour', **ONE_BAND}
  without_d = text(restore_model(**bands))
  assert 0 < convolutions(without_d) < convolutions(everything)
  without_average = text(restore_model(**ONE_BAND, train__average=0.0))
  assert len(without_average) < len(everything)
  # Only the deviations of band statistics use logarithms; forging and losses do not.
  logs = lambda program: program.count('stablehlo.log ')
  assert logs(text(restore_model(model__branches=1))) > logs(everything)
  # Scoring by band statistics alone runs no network.
  assert convolutions(text(restore_model(**bands), 'score')) == 0


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'loss__latent': 1.0}, "loss.latent needs model.discriminator_head = 'image'"),
    ({'model__discriminator_head': 'image'}, 'density.channels=pixels needs model.discrim'),
    ({'train__generator_input': 'normal'}, "needs train.generator_input = 'forged'"),
    ({'density__channels': 'pixels'}, 'model.deviations needs a list of band statistics'),
    ({'score__map': 'density+depth'}, "score.map is 'density+depth'; it must be one of difference"),
  ],
)
def test_contradicting_settings_are_refused(fields: dict[str, object], message: str) -> None:
  with pytest.raises(InputError, match=message.replace('+', r'\+')):
    restore_model(**fields)


def test_data_without_signal_scores_half(tmp_path: Path) -> None:
  write_data_without_signal(tmp_path / 'data')
  train(restore_config(tmp_path / 'data', **EVERYTHING), tmp_path / 'run')
  assert_scores_half(tmp_path / 'run')
