"""The training step: forges images, updates G, then D from the same parameters.

A pure function of arrays; no I/O.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ocrgan_jax.model.inputs import (
  add_arrays,
  forge_batch,
  split,
  to_float,
  valid_pixels,
)
from ocrgan_jax.model.ocrgan import OCRGAN
from ocrgan_jax.model.state import NetworkState, State
from ocrgan_jax.optimization import losses


class Batch(NamedTuple):
  """The arrays of one step.

  Attributes:
    real: normal images, G's target, float [batch, size, size, 3].
    bands: G's input, one array shaped like `real` per branch.
    forged: forged images, shaped like `real`; None if nothing is forged.
  """

  real: jax.Array
  bands: list[jax.Array]
  forged: Any = None


def train_step(
  state: State, images: jax.Array, *, model: OCRGAN
) -> tuple[State, dict[str, jax.Array]]:
  """Updates G and D once, both from the parameters before the step (III-A alternates them).

  G's and D's losses share D's passes over the same images; the compiler computes them once.
  Losses of weight 0 are not computed.

  Args:
    state: the state; its `step` seeds the forgeries.
    images: normal images, uint8 [batch, size, size, 3 or 4].
    model: the static description.

  Returns:
    The state after the step, and float32 scalars: each computed loss, unweighted, and the totals
    of G and D.
  """
  batch = prepare_batch(state, images, model=model)
  generator, fake, metrics = update_generator(state, batch, model=model)
  discriminator = state.discriminator
  if model.trains_discriminator:
    discriminator, more = update_discriminator(state, batch, fake, model=model)
    metrics |= more
  state = state.replace(step=state.step + 1, generator=generator, discriminator=discriminator)
  return state, metrics


def prepare_batch(state: State, images: jax.Array, *, model: OCRGAN) -> Batch:
  """Forges and splits the images of one step.

  Args:
    state: the state; its `step` seeds the forgeries.
    images: normal images, uint8 [batch, size, size, 3 or 4].
    model: the static description.

  Returns:
    The batch.
  """
  key = state.random_key(state.step)
  normal = to_float(images)
  bands, real = split(model, normal)
  if model.forgery.is_off:
    return Batch(real, bands)
  forged = forge_batch(model, key, normal)
  if (valid := valid_pixels(images)) is not None:  # no forgeries in ignored pixels
    forged = jnp.where(valid[..., None], forged, normal)
  return Batch(real, bands, split(model, forged)[1])


def update_generator(
  state: State, batch: Batch, *, model: OCRGAN
) -> tuple[NetworkState, jax.Array, dict[str, jax.Array]]:
  """Updates G by Eq. 12; D is fixed.

  Args:
    state: the state before the step.
    batch: of the step.
    model: the static description.

  Returns:
    G after the update, the reconstructions Î before it, and the losses.
  """
  gradients = jax.grad(_generator_loss, has_aux=True)
  gradient, (fake, batch_stats, metrics) = gradients(state.generator.params, state, batch, model)
  return _update(model, state.generator, gradient, batch_stats), fake, metrics


def update_discriminator(
  state: State, batch: Batch, fake: jax.Array, *, model: OCRGAN
) -> tuple[NetworkState, dict[str, jax.Array]]:
  """Updates D by its side of Eq. 10.

  Args:
    state: the state before the step.
    batch: of the step.
    fake: the reconstructions, shaped like `batch.real`; no gradient flows into them.
    model: the static description.

  Returns:
    D after the update, and its loss.
  """
  gradient, (batch_stats, metrics) = jax.grad(_discriminator_loss, has_aux=True)(
    state.discriminator.params, state, batch, fake, model
  )
  return _update(model, state.discriminator, gradient, batch_stats), metrics


def _discriminate(
  model: OCRGAN, params: Any, batch_stats: Any, *inputs: Any
) -> tuple[tuple[jax.Array, jax.Array], Any]:
  """Runs D with batch statistics; returns its outputs and the new running statistics."""
  variables = {'params': params, 'batch_stats': batch_stats}
  outputs, changes = model.discriminator.apply(
    variables, *inputs, train=True, mutable=['batch_stats']
  )
  return outputs, changes.get('batch_stats', batch_stats)


def _generator_loss(
  params: Any, state: State, batch: Batch, model: OCRGAN
) -> tuple[jax.Array, tuple[jax.Array, Any, dict[str, jax.Array]]]:
  """G's loss, Eq. 12, and (Î, the new running statistics, the terms by name)."""
  variables = {'params': params, 'batch_stats': state.generator.batch_stats}
  reconstructed, changes = model.generator.apply(
    variables, batch.bands, train=True, mutable=['batch_stats']
  )
  fake = add_arrays(reconstructed)
  outputs = losses.GeneratorOutputs(batch.real, fake)
  terms = {n: t for n, t in losses.generator_terms(model.loss).items() if t.weight > 0}
  if any(term.needs_discriminator for term in terms.values()):
    d = state.discriminator
    (fake_logits, fake_latent), _ = _discriminate(model, d.params, d.batch_stats, fake)
    (_, real_latent), _ = _discriminate(model, d.params, d.batch_stats, batch.real)
    outputs = losses.GeneratorOutputs(batch.real, fake, fake_logits, real_latent, fake_latent)
  values = {name: term.function(outputs) for name, term in terms.items()}
  total = add_arrays([terms[name].weight * value for name, value in values.items()])
  return total, (fake, changes['batch_stats'], {**values, 'generator': total})


def _discriminator_loss(
  params: Any, state: State, batch: Batch, fake: jax.Array, model: OCRGAN
) -> tuple[jax.Array, tuple[Any, dict[str, jax.Array]]]:
  """D's loss, and (its new running statistics, the loss by name).

  Each kind of image is normalised by its own batch statistics. The running statistics are updated
  in the order real, reconstructed, forged.
  """
  batch_stats = state.discriminator.batch_stats
  (real_logits, real_latent), batch_stats = _discriminate(model, params, batch_stats, batch.real)
  fake_logits, fake_latents = [], []
  for images in [fake] if batch.forged is None else [fake, batch.forged]:
    (logits, latent), batch_stats = _discriminate(model, params, batch_stats, images)
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
  return NetworkState(params, batch_stats, opt_state)
