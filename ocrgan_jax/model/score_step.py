"""Scoring steps with running statistics: pure functions of arrays, no I/O."""

import functools

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.stages import Wrapped

from ocrgan_jax.core import sharding
from ocrgan_jax.heads.judgement import judge
from ocrgan_jax.model.forward import forward
from ocrgan_jax.model.inputs import split, to_float, valid_pixels
from ocrgan_jax.model.ocrgan import OCRGAN
from ocrgan_jax.model.state import State
from ocrgan_jax.scoring import anomaly_score


def score_step(
  state: State, reference: anomaly_score.Reference, images: jax.Array, *, model: OCRGAN
) -> dict[str, jax.Array]:
  """Scores a batch of images. Under jit, only the results in use are computed.

  Args:
    state: the state.
    reference: of the calibration.
    images: uint8 [batch, size, size, 3 or 4].
    model: the static description.

  Returns:
    float32 arrays:
    `score` [batch];
    `map` [batch, size, size], the anomaly map in map units;
    `features` [batch, n], for figures: D's latent features, or the mean statistics if heads score;
    `content` and `latent` [batch], the terms of Eq. 13, unless heads score;
    `heads` [batch, heads], only if heads score: what each says, see `Judgement`.
  """
  rule = model.score
  if rule.kind == anomaly_score.HEADS:
    return judge(reference.detector, to_float(images), valid_pixels(images))._asdict()
  outputs = _outputs(state, images, model)
  maps = anomaly_score.anomaly_map(outputs, rule) / reference.map_unit
  return {
    'score': anomaly_score.SCORES[rule.kind](outputs, maps, rule),
    'map': maps,
    'content': anomaly_score.content_error(
      outputs.images, outputs.reconstructions, rule.content_distance, outputs.valid
    ),
    'latent': anomaly_score.latent_error(outputs.latent, outputs.reconstructed_latent),
    'features': outputs.latent,
  }


def map_step(state: State, images: jax.Array, *, model: OCRGAN) -> jax.Array:
  """Computes anomaly maps, not yet in map units.

  Args:
    state: the state.
    images: uint8 [batch, size, size, 3 or 4].
    model: the static description.

  Returns:
    float32 [batch, size, size].
  """
  return anomaly_score.anomaly_map(_outputs(state, images, model), model.score)


def _outputs(state: State, images: jax.Array, model: OCRGAN) -> anomaly_score.Outputs:
  result = forward(model, state, split(model, to_float(images)))
  return result.outputs._replace(valid=valid_pixels(images))


def explain_step(
  state: State, reference: anomaly_score.Reference, images: jax.Array, *, model: OCRGAN
) -> dict[str, jax.Array]:
  """Computes intermediate results of the model, for figures.

  Args:
    state: the state.
    reference: of the calibration.
    images: uint8 [batch, size, size, 3 or 4].
    model: the static description.

  Returns:
    float32 arrays:
    `input` and `reconstruction` [batch, size, size, 3];
    `map` [batch, size, size], the anomaly map in map units;
    `bands` and `reconstructed_bands` [batch, branches, size, size, 3];
    `cs1`, `cs2` …, the channel weights of each CS [batch, branches, channels].
    If no network is trained, only `input`, `map` and `bands`.
  """
  bands, real = split(model, to_float(images))
  result = forward(model, state, (bands, real))
  outputs = result.outputs._replace(valid=valid_pixels(images))
  views = {
    'input': real,
    'map': _finished_map(model, reference, outputs),
    'bands': jnp.stack(bands, axis=1),
  }
  if not model.trains:
    return views
  return {
    **views,
    'reconstruction': result.outputs.reconstructions,
    'reconstructed_bands': jnp.stack(result.reconstructed_bands, axis=1),
    **result.channel_weights,
  }


def _finished_map(
  model: OCRGAN, reference: anomaly_score.Reference, outputs: anomaly_score.Outputs
) -> jax.Array:
  if model.score.kind == anomaly_score.HEADS:
    return judge(reference.detector, outputs.images, outputs.valid).map
  return anomaly_score.anomaly_map(outputs, model.score) / reference.map_unit


@functools.cache
def jit_explain_step(model: OCRGAN, mesh: Mesh) -> Wrapped:
  """Returns the compiled `explain_step` of a model: (state, reference, images) → views."""
  return sharding.jit_over_batch(
    functools.partial(explain_step, model=model), mesh, num_replicated=2
  )
