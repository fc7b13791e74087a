import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ocrgan_jax.model.inputs import to_float
from ocrgan_jax.model.ocrgan import OCRGAN
from ocrgan_jax.model.score_step import score_step
from ocrgan_jax.model.state import State, Trained, create_state
from ocrgan_jax.networks import frequency_decoupling
from ocrgan_jax.optimization import losses
from ocrgan_jax.training.step import prepare_batch, train_step
from tests.conftest import tiny_model


def batch(size: int = 4, seed: int = 0) -> np.ndarray:
  return np.random.default_rng(seed).integers(0, 256, (size, 32, 32, 3), dtype=np.uint8)


@functools.partial(jax.jit, static_argnums=0)
def new_state(model: OCRGAN) -> State:
  return create_state(model, 0)


step = jax.jit(train_step, static_argnames='model')
jitted_score = jax.jit(score_step, static_argnames='model')


def score(state: State, images: np.ndarray, *, model: OCRGAN) -> dict[str, jax.Array]:
  return jitted_score(Trained(state, np.float32(1)), images, model=model)


@functools.partial(jax.jit, static_argnums=0)
def reconstruct(model: OCRGAN, state: State, bands: list[jax.Array]) -> jax.Array:
  return sum(model.generator.apply(state.generator.variables, bands, train=False))


@functools.partial(jax.jit, static_argnums=0)
def discriminate(model: OCRGAN, state: State, x: jax.Array) -> tuple[jax.Array, jax.Array]:
  return model.discriminator.apply(state.discriminator.variables, x, train=False)


def assert_equal(first: object, second: object) -> None:
  jax.tree.map(np.testing.assert_array_equal, first, second)


def changed(first: object, second: object) -> list[bool]:
  return [
    bool((a != b).any())
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
  ]


def test_a_step_is_that_of_two_plain_adams_at_the_parameters_before_it() -> None:
  """G's and D's updates written out, with torch's Adam (L2 in the gradient)."""
  model = tiny_model(
    model__branches=1,
    forgery__cutpaste=False,
    forgery__cutout=False,
    train__learning_rate=2e-3,
  )
  state, images = new_state(model), batch()
  after, _ = step(state, images, model=model)

  real = to_float(jnp.asarray(images))
  g, d = state.generator, state.discriminator
  make = lambda p: sum(
    model.generator.apply(
      {'params': p, 'batch_stats': g.batch_stats},
      [real],
      train=True,
      mutable=['batch_stats'],
    )[0]
  )
  discriminate_with = lambda p, x: model.discriminator.apply(
    {'params': p, 'batch_stats': d.batch_stats}, x, train=True, mutable=['batch_stats']
  )[0]
  bce = optax.sigmoid_binary_cross_entropy

  def g_loss(p: object) -> jax.Array:
    fake = make(p)
    logits, latent = discriminate_with(d.params, fake)
    _, real_latent = discriminate_with(d.params, real)
    return (
      50 * jnp.abs(real - fake).mean()
      + bce(logits, jnp.ones(4)).mean()
      + ((latent - real_latent) ** 2).mean()
    )

  def d_loss(p: object) -> jax.Array:
    fake = make(g.params)
    return sum(
      bce(discriminate_with(p, x)[0], jnp.full(4, label)).mean()
      for x, label in ((real, 1.0), (fake, 0.0))
    )

  def first_adam_step(p: jax.Array, gradient: jax.Array) -> jax.Array:
    gradient = gradient + 1e-4 * p  # then m / (1 - β1) = gradient, v / (1 - β2) = gradient²
    return p - 2e-3 * gradient / (jnp.abs(gradient) + 1e-8)

  for network, loss in (('generator', g_loss), ('discriminator', d_loss)):
    params = getattr(state, network).params
    gradient = jax.jit(jax.grad(loss))(params)
    # The moments hold what the step itself hides: β1, β2, the decay, the weights of the losses.
    decayed = jax.tree.map(lambda g, p: g + 1e-4 * p, gradient, params)
    for moment, of in (('mu', lambda x: 0.5 * x), ('nu', lambda x: 0.001 * x**2)):
      jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-3 * np.abs(b).max()),
        optax.tree_utils.tree_get(getattr(after, network).opt_state, moment),
        jax.tree.map(of, decayed),
      )
    expected = jax.tree.map(first_adam_step, params, gradient)
    got = getattr(after, network).params
    # Adam's first step is ±lr wherever the gradient is not tiny; skip where rounding decides.
    clear = jax.tree.map(lambda x: jnp.abs(x) > 1e-5, gradient)
    assert sum(c.sum() for c in jax.tree.leaves(clear)) > 1000
    jax.tree.map(
      lambda c, a, b: np.testing.assert_allclose(jnp.where(c, a, 0), jnp.where(c, b, 0), atol=2e-5),
      clear,
      got,
      expected,
    )


def test_updating_one_network_does_not_change_the_other() -> None:
  content_only = {'model__branches': 1, 'loss__adversarial': 0.0, 'loss__latent': 0.0}
  model = tiny_model(score__content_weight=1.0, **content_only)
  state = new_state(model)
  after, metrics = step(state, batch(), model=model)
  # Nothing looks at D, so it is not trained: a G step leaves it to the last bit.
  assert_equal(after.discriminator, state.discriminator)
  assert any(changed(after.generator.params, state.generator.params))
  assert set(metrics) == {'content', 'generator'}
  # D's state before the step has no part in G's update of the content loss, and
  # D's step none either: with D trained for the score alone, G moves just as far.
  watched = tiny_model(**content_only)
  with_discriminator, metrics = step(state, batch(), model=watched)
  assert set(metrics) == {'content', 'generator', 'discriminator'}
  assert any(changed(with_discriminator.discriminator.params, state.discriminator.params))
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, atol=1e-6),
    with_discriminator.generator,
    after.generator,
  )


def test_the_latent_loss_is_ds_too_where_the_setting_says_so() -> None:
  fields = {'model__branches': 1, 'forgery__cutpaste': False, 'forgery__cutout': False}
  without, with_latent = tiny_model(**fields), tiny_model(**fields, loss__discriminator_latent=1.0)
  state = new_state(without)
  _, first = step(state, batch(), model=without)
  _, second = step(state, batch(), model=with_latent)
  # At the same parameters it is the term of G's loss.
  added = float(second['discriminator'] - first['discriminator'])
  assert added == pytest.approx(float(first['latent']), rel=1e-3)


def test_both_networks_keep_running_statistics_in_every_step() -> None:
  model = tiny_model()
  before = new_state(model)
  for _ in range(2):
    score(before, batch(), model=model)  # which leaves no network in evaluation mode
    after, _ = step(before, batch(), model=model)
    for network in ('generator', 'discriminator'):
      stats = [getattr(state, network).batch_stats for state in (after, before)]
      assert all(changed(*stats)), network
    before = after


def test_images_and_forged_images_are_in_one_range_from_minus_one_to_one() -> None:
  np.testing.assert_allclose(to_float(jnp.array([0, 255, 51], jnp.uint8)), [-1, 1, -0.6], atol=1e-6)
  model = tiny_model()
  prepared = prepare_batch(new_state(model), batch(), model=model)
  np.testing.assert_allclose(prepared.real, to_float(jnp.asarray(batch())), atol=1e-6)
  # Each is forged from the image that is reconstructed, and differs by a patch and a square.
  same = (jnp.abs(prepared.forged - prepared.real) < 1e-5).mean((1, 2, 3))
  assert (same > 0.7).all() and (same < 1).all()


def test_channel_selection_changes_in_a_step() -> None:
  model = tiny_model()
  state = new_state(model)
  after, _ = step(state, batch(), model=model)
  for number in range(1, 6):
    name = f'cs{number}'
    assert all(changed(after.generator.params[name], state.generator.params[name])), name


# Covers every setting of the paper's ablations that changes the step, with few programs.
ABLATIONS = [
  {'model__branches': 1, 'forgery__cutpaste': False, 'forgery__cutout': False},  # Skip-GANomaly
  {'model__channel_selection': False, 'forgery__cutpaste': False, 'loss__adversarial': 0.0},
  {'model__bands': '2', 'forgery__cutout': False, 'loss__adversarial_form': 'expectation'},
  {'model__branches': 1, 'loss__content': 0.0, 'score__content_weight': 0.0},
  {
    'model__branches': 1,
    'loss__latent': 0.0,
    'loss__discriminator_latent': 1.0,
    'score__content_distance': 'squared',
    'score__kind': 'map',
  },
]


@pytest.mark.slow
@pytest.mark.parametrize('fields', ABLATIONS, ids=lambda fields: ','.join(fields))
def test_every_ablation_trains_and_scores(fields: dict[str, object]) -> None:
  model = tiny_model(**fields)
  state = new_state(model)
  after, metrics = step(state, batch(), model=model)
  assert all(np.isfinite(value) for value in metrics.values())
  assert any(changed(after.generator.params, state.generator.params))
  for name in ('content', 'adversarial', 'latent'):
    assert (name in metrics) == (getattr(model.loss, name) > 0)
  weights = [(getattr(model.loss, n), v) for n, v in metrics.items() if hasattr(model.loss, n)]
  assert metrics['generator'] == pytest.approx(sum(w * float(v) for w, v in weights), rel=1e-5)
  assert np.isfinite(score(after, batch(), model=model)['score']).all()


def test_one_band_alone_is_reconstructed_as_itself() -> None:
  model = tiny_model(model__bands='1')
  images = batch()
  low = frequency_decoupling(to_float(jnp.asarray(images)), 2)[0]
  state = new_state(model)
  made = reconstruct(model, state, [low])
  expected = jnp.abs(low - made).mean((1, 2, 3))
  np.testing.assert_allclose(score(state, images, model=model)['content'], expected, rtol=1e-5)


def test_forgeries_differ_between_steps_and_not_between_runs() -> None:
  model = tiny_model()
  state = new_state(model)
  later = state.replace(step=state.step + 1)
  losses_of = lambda s: float(step(s, batch(), model=model)[1]['discriminator'])
  assert losses_of(state) == losses_of(state)
  assert losses_of(state) != losses_of(later)


def test_a_score_depends_on_its_image_alone() -> None:
  model = tiny_model()
  state, _ = step(new_state(model), batch(), model=model)
  images = batch(8, seed=1)
  together = score(state, images, model=model)['score']
  order = np.random.default_rng(0).permutation(8)
  np.testing.assert_allclose(
    score(state, images[order], model=model)['score'], together[order], rtol=1e-5
  )
  alone = [score(state, images[i : i + 1], model=model)['score'][0] for i in range(8)]
  np.testing.assert_allclose(alone, together, rtol=1e-5)
  # Even if the other images are very different.
  among_black = np.zeros_like(images)
  among_black[3] = images[3]
  np.testing.assert_allclose(
    score(state, among_black, model=model)['score'][3], together[3], rtol=1e-5
  )


def test_score_is_equation_13() -> None:
  model = tiny_model()
  state, images = new_state(model), batch()
  parts = score(state, images, model=model)
  expected = 0.9 * parts['content'] + 0.1 * parts['latent']
  np.testing.assert_allclose(parts['score'], expected, rtol=1e-6)
  real = to_float(jnp.asarray(images))
  made = reconstruct(model, state, frequency_decoupling(real, 2))
  latent, made_latent = (discriminate(model, state, x)[1] for x in (real, made))
  np.testing.assert_allclose(parts['content'][0], losses.content_loss(real[0], made[0]), rtol=1e-5)
  np.testing.assert_allclose(
    parts['latent'][0], losses.latent_loss(latent[0], made_latent[0]), rtol=1e-4
  )
