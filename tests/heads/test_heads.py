"""The heads against slow forms, and what users rely on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import Ridge

from ocrgan_jax.heads import fitting, maps
from ocrgan_jax.heads.measurements import Measurements, measure
from ocrgan_jax.heads.regression import COMPONENTS, RIDGE, fit_regression
from ocrgan_jax.heads.tails import combine, fit_tails, joint_score, surprise

SIZE = 64
EVERY = tuple(maps.SHARES)


def textures(count: int, seed: int = 0) -> np.ndarray:
  """Smooth random images in [-1, 1], [count, 64, 64, 3]."""
  rng = np.random.default_rng(seed)
  coarse = rng.normal(size=(count, 16, 16, 3)).repeat(4, 1).repeat(4, 2)
  return np.float32(np.clip(0.3 * coarse + 0.05 * rng.normal(size=(count, SIZE, SIZE, 3)), -1, 1))


def measured(images: np.ndarray) -> Measurements:
  return jax.device_get(jax.jit(measure)(images))


def some_of(at: Measurements, count: int) -> Measurements:
  return Measurements(at.statistics[:count], at.detail[:count], None)


@pytest.fixture(scope='module')
def normal() -> Measurements:
  return measured(textures(24))


def test_left_out_residuals_are_those_of_a_regression_without_the_group() -> None:
  rng = np.random.default_rng(0)
  inputs, targets = rng.normal(size=(12, 30)), rng.normal(size=(12, 5))
  inputs -= inputs.mean(0)
  targets -= targets.mean(0)
  groups = np.array([0, 0, 1, 2, 2, 2, 3, 4, 5, 6, 7, 8])
  found = fit_regression(inputs, groups).left_out @ targets
  penalty = RIDGE * np.square(inputs).sum() / len(inputs)
  for group in np.unique(groups):
    own = groups == group
    slow = Ridge(alpha=penalty).fit(inputs[~own], targets[~own])
    np.testing.assert_allclose(found[own], targets[own] - slow.predict(inputs[own]), atol=1e-4)


@pytest.mark.parametrize(('count', 'tolerance'), [(10, 1e-5), (2 * COMPONENTS, 0.01)])
def test_new_inputs_are_explained_as_by_ridge_regression(count: int, tolerance: float) -> None:
  """Of many images the strongest components are kept; the others predict next to nothing."""
  rng, strengths = np.random.default_rng(1), 1 / np.arange(1, 301)
  inputs = rng.normal(size=(count, 300)) * strengths
  targets = inputs @ rng.normal(size=(300, 4)) + 0.1 * rng.normal(size=(count, 4))
  inputs -= inputs.mean(0)
  targets -= targets.mean(0)
  fitted, new = fit_regression(inputs, np.arange(count)), rng.normal(size=(50, 300)) * strengths
  assert fitted.basis.shape == (300, min(count, COMPONENTS))
  penalty = RIDGE * np.square(inputs).sum() / count
  slow = Ridge(alpha=penalty).fit(inputs, targets).predict(new)
  errors = new @ fitted.basis @ (fitted.gains @ targets) - slow
  assert np.linalg.norm(errors) < tolerance * np.linalg.norm(slow)


def test_a_surprise_says_how_many_normal_scores_are_as_high() -> None:
  rng = np.random.default_rng(2)
  new = np.exp(rng.exponential(0.2, size=100_000))
  found = []
  for _ in range(20):  # one set of 400 images alone may be off by its luck
    tails = fit_tails(np.exp(rng.exponential(0.2, size=(1, 400))))
    found.append(np.asarray(surprise(tails, [0], jnp.asarray(new)[None])[0]))
    assert (np.diff(found[-1][np.argsort(new)]) >= 0).all()
  for p in (0.5, 0.1, 0.01):
    assert (np.stack(found) > -np.log(p)).mean() == pytest.approx(p, rel=0.2)


def test_a_head_that_is_not_surprised_has_no_say() -> None:
  loud = combine(jnp.array([[12.0], [0.1], [0.1]]))
  assert float(loud[0]) == pytest.approx(12 - np.log(3), abs=1e-3)


@pytest.mark.parametrize('count', [2, 3, 9, 24])
def test_defects_score_higher_than_new_images(normal: Measurements, count: int) -> None:
  new = textures(4, seed=5)
  scratched, other = new.copy(), np.clip(new * 0.2 + 0.5, -1, 1)
  scratched[:, 20:22, 10:50] = 1
  heads = fitting.fit_heads(some_of(normal, count), np.arange(count), EVERY).heads
  scores = maps.scores_of_maps(
    maps.head_maps(heads, measured(np.concatenate([new, scratched, other]))), None
  )
  of_new, of_scratched, of_other = np.split(np.asarray(joint_score(heads.tails, scores)), 3)
  assert of_other.min() > of_new.max()
  assert count < 9 or of_scratched.min() > of_new.max()  # small defects need more images


def test_a_head_that_is_off_leaves_nothing_in_the_program(normal: Measurements) -> None:
  at = some_of(normal, 6)
  few = fitting.fit_heads(at, np.arange(6), ('dark',)).heads
  assert few.memory is None and few.response is None and few.statistics is None
  assert few.bright is None and list(maps.head_maps(few, at)) == ['dark']
  program = jax.jit(lambda m: maps.head_maps(few, m)['dark']).lower(at).as_text()
  assert 'dot_general' not in program


def test_left_out_scores_are_those_of_heads_built_from_scratch_on_the_other_photographs() -> None:
  """So the threshold, one of these scores, is that of parts never seen. Nothing is shared."""
  images = textures(12)
  images[1] = images[0] + 0.02 * textures(1, seed=9)[0]  # the same part again
  groups, names = np.array([0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), tuple(maps.SHARES)
  at = measured(images)
  some = lambda chosen: Measurements(at.statistics[chosen], at.detail[chosen], None)
  found = fitting.fit_heads(at, groups, names)
  scratch = np.zeros(len(images))
  for group in np.unique(groups):
    own = groups == group
    alone = fitting.fit_heads(some(~own), groups[~own], names).heads
    scores = jax.jit(lambda heads, one: maps.scores_of_maps(maps.head_maps(heads, one), None))
    scratch[own] = joint_score(alone.tails, scores(alone, some(own)))
  # Only the tails differ a little: those of the others were left out of one part more.
  assert np.corrcoef(found.left_out, scratch)[0, 1] > 0.98
  np.testing.assert_allclose(np.median(found.left_out), np.median(scratch), rtol=0.15)
  np.testing.assert_allclose(found.left_out.max(), scratch.max(), rtol=0.15)


def test_copies_are_left_out_with_their_photograph_and_are_not_scored() -> None:
  """A part whose copy stays in the fit would be no surprise."""
  images, names = textures(8), ('statistics', 'dark')
  both = measured(np.concatenate([images, images + 0.01]))
  groups = np.arange(8)
  with_copies = fitting.fit_heads(both, np.tile(groups, 2), names, copies=8).left_out
  as_others = fitting.fit_heads(both, np.arange(16), names).left_out
  assert with_copies.shape == (8,)
  assert np.median(with_copies) > 1.5 * np.median(as_others[:8])
