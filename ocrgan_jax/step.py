"""One step of training and of scoring: pure functions of arrays, no I/O.

Images come in as uint8 and are mapped to [-1, 1] here, in one place, so that
image, forged image and reconstruction live in the same space.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ocrgan_jax import density, losses, mixtures, scoring
from ocrgan_jax.band_statistics import band_statistics
from ocrgan_jax.forgery import FAMILIES, forge
from ocrgan_jax.mixtures import forge_mixtures
from ocrgan_jax.model import OCRGAN
from ocrgan_jax.networks import frequency_decoupling
from ocrgan_jax.state import NetworkState, State

# The first draw of validation; the next ones count down, and those of training up from 0.
VALIDATION_DRAW = 2**32 - 1
MIXED_BANDS = 3  # that mixtures are made of


def to_float(images: jax.Array) -> jax.Array:
  """uint8 [0, 255] → float32 [-1, 1], the same for every image."""
  return images.astype(jnp.float32) / 127.5 - 1


def split(model: OCRGAN, images: jax.Array) -> tuple[list[jax.Array], jax.Array]:
  """The bands that the model keeps, and their sum, which is what it reconstructs.

  With all bands kept the sum is the image itself, to the last bit.
  """
  bands = frequency_decoupling(images, model.branches)
  if len(model.bands) == model.branches:
    return bands, images
  bands = [bands[i] for i in model.bands]
  return bands, _sum(bands)


def forge_batch(model: OCRGAN, key: jax.Array, images: jax.Array) -> jax.Array:
  """Forges anomalies into float images as the model's settings say."""
  settings = model.forgery
  forged = forge(key, images, **{name: getattr(settings, name) for name in FAMILIES})
  # Keys of their own, so that what the paper forges does not depend on these settings.
  mixture_key, share_key = jax.random.split(jax.random.fold_in(key, 1))
  if settings.mixtures:
    bands = frequency_decoupling(forged, MIXED_BANDS)
    forged, _ = forge_mixtures(mixture_key, bands, mixtures.TRAINING_FAMILIES)
  if settings.unforged > 0:
    left = jax.random.uniform(share_key, (len(images), 1, 1, 1)) < settings.unforged
    forged = jnp.where(left, images, forged)
  return forged


def train_step(
  state: State, images: jax.Array, *, model: OCRGAN
) -> tuple[State, dict[str, jax.Array]]:
  """Updates G and D once, both from the parameters before the step (IV-A2).

  D's passes over the same image in G's and in D's loss are the same computation,
  which the compiler does once. Losses of weight 0 are not computed.

  Args:
    state: the state; its `step` seeds the forgeries.
    images: uint8 [batch, size, size, 3], normal ones.
    model: the static description.

  Returns:
    The state after the step, and float32 scalars: each loss that was computed,
    unweighted, and G's and D's totals.
  """
  normal = to_float(images)
  normal_bands, real = split(model, normal)
  given, forged = normal_bands, None
  if model.forges:
    forged_bands, forged = split(model, forge_batch(model, state.random_key(state.step), normal))
    given = forged_bands if model.generator_input == 'forged' else normal_bands

  generator, fake, metrics = update_generator(state, given, real, model=model)
  discriminator = state.discriminator
  if model.trains_discriminator:
    fakes = [fake] if forged is None else [fake, forged]
    discriminator, more = update_discriminator(state, real, fakes, model=model)
    metrics |= more
  state = state.replace(step=state.step + 1, generator=generator, discriminator=discriminator)
  return state, metrics


def update_generator(
  state: State, bands: list[jax.Array], real: jax.Array, *, model: OCRGAN
) -> tuple[NetworkState, jax.Array, dict[str, jax.Array]]:
  """One update of G by Eq. 12, with D as it stands in the state.

  Args:
    state: the state, left as it is.
    bands: what G is given, one float array [batch, size, size, 3] a branch.
    real: what G should reconstruct, [batch, size, size, 3].
    model: the static description.

  Returns:
    G after the update, the reconstruction Î before it, and the losses.
  """
  gradients = jax.grad(_generator_loss, has_aux=True)
  gradient, (fake, batch_stats, metrics) = gradients(
    state.generator.params, state, bands, real, model
  )
  return _update(model, state.generator, gradient, batch_stats), fake, metrics


def update_discriminator(
  state: State, real: jax.Array, fakes: list[jax.Array], *, model: OCRGAN
) -> tuple[NetworkState, dict[str, jax.Array]]:
  """One update of D by its side of Eq. 10.

  Args:
    state: the state, left as it is.
    real: normal images, float [batch, size, size, 3].
    fakes: reconstructions and, unless forging is off, forged images, shaped alike.
    model: the static description.

  Returns:
    D after the update, and its loss.
  """
  gradients = jax.grad(_discriminator_loss, has_aux=True)
  gradient, (batch_stats, metrics) = gradients(
    state.discriminator.params, state, real, fakes, model
  )
  return _update(model, state.discriminator, gradient, batch_stats), metrics


def score_step(
  state: State, reference: scoring.Reference, images: jax.Array, *, model: OCRGAN
) -> dict[str, jax.Array]:
  """Scores images, with running statistics.

  Under jit only what is taken of the result is computed.

  Args:
    state: the state.
    reference: of the calibration.
    images: uint8 [batch, size, size, 3].
    model: the static description.

  Returns:
    float32 arrays: `score` [batch]; the terms of Eq. 13, `content` and `latent`
    [batch]; `map`, the anomaly map in its units [batch, size, size]; and `features`,
    D's latent features of the images [batch, 100]. Of a model that trains nothing
    there is no `content` and no `latent`, and `features` are the mean band statistics.
  """
  rule = model.score
  outputs, _ = look(model, state, reference, split(model, to_float(images)))
  maps = scoring.anomaly_map(outputs, rule) / reference.map_unit
  values = {'score': scoring.SCORES[rule.kind](outputs, maps, rule), 'map': maps}
  if not model.trains:
    return {**values, 'features': band_statistics(outputs.images).mean((1, 2))}
  content = scoring.content_error(outputs.images, outputs.reconstructions, rule.content_distance)
  latent = scoring.latent_error(outputs.latent, outputs.reconstructed_latent)
  return {**values, 'content': content, 'latent': latent, 'features': outputs.latent}


def explain_step(
  state: State, reference: scoring.Reference, images: jax.Array, *, model: OCRGAN
) -> dict[str, jax.Array]:
  """What the model sees and makes of images, with running statistics.

  Args:
    state: the state.
    reference: of the calibration.
    images: uint8 [batch, size, size, 3].
    model: the static description.

  Returns:
    float32 arrays: `input` and `reconstruction` [batch, size, size, 3]; `map`, the
    anomaly map in its units [batch, size, size]; `bands` and `reconstructed_bands`
    [batch, branches, size, size, 3]; and one for each CS by its name, `cs1` …, its
    channel weights [batch, branches, channels].
  """
  bands, real = split(model, to_float(images))
  outputs, generated = look(model, state, reference, (bands, real))
  views = {
    'input': real,
    'map': scoring.anomaly_map(outputs, model.score) / reference.map_unit,
    'bands': jnp.stack(bands, axis=1),
  }
  if not model.trains:
    return views
  made, weights = generated
  return {
    **views,
    'reconstruction': outputs.reconstructions,
    'reconstructed_bands': jnp.stack(made, axis=1),
    **weights,
  }


def look(
  model: OCRGAN,
  state: State,
  reference: scoring.Reference,
  decoupled: tuple[list[jax.Array], jax.Array],
) -> tuple[scoring.Outputs, Any]:
  """All that a map or a score can look at, with running statistics.

  Args:
    model: the static description.
    state: the state.
    reference: of the calibration.
    decoupled: the bands and the image, from `split`.

  Returns:
    The outputs, and of a model that trains the reconstructed bands and the weights of
    each CS by its name.
  """
  bands, real = decoupled
  outputs, generated = scoring.Outputs(real), None
  if model.trains:
    made, sown = model.generator.apply(
      state.generator.variables, bands, train=False, mutable=['intermediates']
    )
    fake = _sum(made)
    (_, latent), (_, fake_latent) = _judge(model, state, real), _judge(model, state, fake)
    outputs = scoring.Outputs(real, fake, latent, fake_latent)
    selections = dict(sown.get('intermediates', {}))
    weights = {name: chosen['weights'][0].swapaxes(0, 1) for name, chosen in selections.items()}
    generated = made, weights
  if reference.density is not None:
    statistics = band_statistics(real)
    outputs = outputs._replace(distance=density.distance(reference.density, statistics))
  return outputs, generated


def moments_step(
  state: State, count: jax.Array, images: jax.Array, *, model: OCRGAN
) -> density.Moments:
  """The moments of a batch of normal images, which a density is fitted to.

  Args:
    state: the state.
    count: how many images of the batch count: the first so many.
    images: uint8 [batch, size, size, 3].
    model: the static description.

  Returns:
    The moments.
  """
  del state
  _, real = split(model, to_float(images))
  return density.moments_of(band_statistics(real), count, model.density.regions)


def forged_step(
  state: State, number: int | jax.Array, images: jax.Array, *, model: OCRGAN
) -> jax.Array:
  """Forges anomalies into uint8 images for validation, always the same for a model and a batch.

  Args:
    state: the state, whose key is drawn from.
    number: of the copy; another one gives other forgeries.
    images: uint8 [batch, size, size, 3].
    model: the static description.

  Returns:
    uint8 array shaped as `images`.
  """
  real, key = to_float(images), state.random_key(jnp.uint32(VALIDATION_DRAW) - number)
  if model.forgery.validation == 'unseen':
    bands = frequency_decoupling(real, MIXED_BANDS)
    trained = mixtures.TRAINING_FAMILIES if model.forgery.mixtures else ()
    unseen = tuple(name for name in mixtures.FAMILIES if name not in trained)
    forged, _ = forge_mixtures(key, bands, unseen)
  else:
    forged = forge_batch(model, key, real)
  return jnp.round((forged + 1) * 127.5).astype(jnp.uint8)


def _sum(arrays: Sequence[jax.Array]) -> jax.Array:
  return functools.reduce(jnp.add, arrays)


def _judge(model: OCRGAN, state: State, images: jax.Array) -> tuple[jax.Array, jax.Array]:
  outputs: Any = model.discriminator.apply(state.discriminator.variables, images, train=False)
  return outputs


def _judge_training(
  model: OCRGAN, params: Any, batch_stats: Any, images: jax.Array
) -> tuple[tuple[jax.Array, jax.Array], Any]:
  """D with batch statistics: (logits, latent), and its new running statistics."""
  variables = {'params': params, 'batch_stats': batch_stats}
  outputs, changes = model.discriminator.apply(
    variables, images, train=True, mutable=['batch_stats']
  )
  return outputs, changes.get('batch_stats', batch_stats)


def _generator_loss(
  params: Any, state: State, bands: list[jax.Array], real: jax.Array, model: OCRGAN
) -> tuple[jax.Array, tuple[jax.Array, Any, dict[str, jax.Array]]]:
  """Eq. 12 for G, and (Î, the new batch statistics, the terms by name)."""
  variables = {'params': params, 'batch_stats': state.generator.batch_stats}
  made, changes = model.generator.apply(variables, bands, train=True, mutable=['batch_stats'])
  fake = _sum(made)
  outputs = losses.Outputs(real, fake)
  terms = {n: t for n, t in losses.generator_terms(model.loss).items() if t.weight > 0}
  if any(term.needs_discriminator for term in terms.values()):
    d = state.discriminator
    (fake_logits, fake_latent), _ = _judge_training(model, d.params, d.batch_stats, fake)
    (_, real_latent), _ = _judge_training(model, d.params, d.batch_stats, real)
    outputs = losses.Outputs(real, fake, fake_logits, real_latent, fake_latent)
  values = {name: term.function(outputs) for name, term in terms.items()}
  total = _sum([terms[name].weight * value for name, value in values.items()])
  return total, (fake, changes['batch_stats'], {**values, 'generator': total})


def _discriminator_loss(
  params: Any, state: State, real: jax.Array, fakes: list[jax.Array], model: OCRGAN
) -> tuple[jax.Array, tuple[Any, dict[str, jax.Array]]]:
  """D's loss, and (its new batch statistics, the loss by name).

  Each kind of image is normalised by its own statistics; the running ones see
  them in the order real, reconstructed, forged.
  """
  batch_stats = state.discriminator.batch_stats
  (real_logits, real_latent), batch_stats = _judge_training(model, params, batch_stats, real)
  fake_logits, fake_latents = [], []
  for fake in fakes:
    (logits, latent), batch_stats = _judge_training(model, params, batch_stats, fake)
    fake_logits.append(logits)
    fake_latents.append(latent)
  form, weight = model.loss.adversarial_form, model.loss.discriminator_latent
  total = losses.discriminator_adversarial_loss(real_logits, fake_logits, form)
  if weight > 0:
    total += weight * losses.latent_loss(real_latent, fake_latents[0])
  return total, (batch_stats, {'discriminator': total})


def _update(model: OCRGAN, network: NetworkState, gradient: Any, batch_stats: Any) -> NetworkState:
  optimizer = model.optimizer.transformation()
  updates, opt_state = optimizer.update(gradient, network.opt_state, network.params)
  params = optax.apply_updates(network.params, updates)
  return NetworkState(params=params, batch_stats=batch_stats, opt_state=opt_state)
