"""One step of scoring: pure functions of arrays, no I/O, with running statistics."""

import functools

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.stages import Wrapped

from ocrgan_jax.core import sharding
from ocrgan_jax.density.band_statistics import band_statistics
from ocrgan_jax.density.gaussian import Gaussians
from ocrgan_jax.model.forward import forward
from ocrgan_jax.model.inputs import counts_of, split, to_float
from ocrgan_jax.model.ocrgan import OCRGAN
from ocrgan_jax.model.state import State
from ocrgan_jax.scoring import anomaly_score


def score_step(
  state: State, reference: anomaly_score.Reference, images: jax.Array, *, model: OCRGAN
) -> dict[str, jax.Array]:
  """Scores images, with running statistics.

  Under jit only what is taken of the result is computed.

  Args:
    state: the state.
    reference: of the calibration.
    images: uint8 [batch, size, size, 3 or 4].
    model: the static description.

  Returns:
    float32 arrays: `score` [batch]; `map`, the anomaly map in its units
    [batch, size, size]; and `features` [batch, n], for pictures: D's latent features of
    the images, the means of those of a D that judges pixels, or, of a model that trains
    nothing, the mean band statistics. Of a model that trains, `content`, and if it has
    one, `latent`: the terms of Eq. 13 [batch].
  """
  rule = model.score
  made = forward(model, state, reference, split(model, to_float(images)))
  outputs = made.outputs._replace(counts=counts_of(images))
  maps = anomaly_score.anomaly_map(outputs, rule) / reference.map_unit
  values = {'score': anomaly_score.SCORES[rule.kind](outputs, maps, rule), 'map': maps}
  if not model.trains:
    return {**values, 'features': band_statistics(outputs.images).mean((1, 2))}
  distance = rule.content_distance
  content = anomaly_score.content_error(
    outputs.images, outputs.reconstructions, distance, outputs.counts
  )
  values['content'] = content
  if model.judges_pixels:
    return {**values, 'features': made.pixel_features.mean((1, 2))}
  latent = anomaly_score.latent_error(outputs.latent, outputs.reconstructed_latent)
  return {**values, 'latent': latent, 'features': outputs.latent}


def map_step(
  state: State, fitted: tuple[Gaussians, ...] | None, images: jax.Array, *, model: OCRGAN
) -> jax.Array:
  """The anomaly map, in no units yet.

  Args:
    state: the state.
    fitted: the density, if the map uses one.
    images: uint8 [batch, size, size, 3 or 4].
    model: the static description.

  Returns:
    float32 [batch, size, size].
  """
  reference = anomaly_score.Reference(None, fitted)
  made = forward(model, state, reference, split(model, to_float(images)))
  outputs = made.outputs._replace(counts=counts_of(images))
  return anomaly_score.anomaly_map(outputs, model.score)


def explain_step(
  state: State, reference: anomaly_score.Reference, images: jax.Array, *, model: OCRGAN
) -> dict[str, jax.Array]:
  """What the model sees and makes of images, with running statistics.

  Args:
    state: the state.
    reference: of the calibration.
    images: uint8 [batch, size, size, 3 or 4].
    model: the static description.

  Returns:
    float32 arrays: `input` and `reconstruction` [batch, size, size, 3]; `map`, the
    anomaly map in its units [batch, size, size]; `bands` and `reconstructed_bands`
    [batch, branches, size, size, 3]; and one for each CS by its name, `cs1` …, its
    channel weights [batch, branches, channels].
  """
  bands, real = split(model, to_float(images))
  made = forward(model, state, reference, (bands, real))
  outputs = made.outputs._replace(counts=counts_of(images))
  views = {
    'input': real,
    'map': anomaly_score.anomaly_map(outputs, model.score) / reference.map_unit,
    'bands': jnp.stack(bands, axis=1),
  }
  if not model.trains:
    return views
  return {
    **views,
    'reconstruction': made.outputs.reconstructions,
    'reconstructed_bands': jnp.stack(made.reconstructed_bands, axis=1),
    **made.channel_weights,
  }


@functools.cache
def jit_explain_step(model: OCRGAN, mesh: Mesh) -> Wrapped:
  """The compiled `explain_step` of a model: (state, reference, images) → views."""
  return sharding.jit_over_batch(
    functools.partial(explain_step, model=model), mesh, num_replicated=2
  )
