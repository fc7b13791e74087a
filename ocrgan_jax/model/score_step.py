"""Scores images with either kind of model: pure functions of arrays, no I/O."""

from typing import Any

import jax
import jax.numpy as jnp

from ocrgan_jax.heads.judgement import judge
from ocrgan_jax.model.bands import Bands
from ocrgan_jax.model.forward import forward
from ocrgan_jax.model.inputs import split, to_float, valid_pixels
from ocrgan_jax.model.ocrgan import OCRGAN
from ocrgan_jax.model.state import Trained
from ocrgan_jax.scoring import anomaly_score


def score_step(
  arrays: Any, images: jax.Array, *, model: Bands | OCRGAN, outputs: tuple[str, ...] = ()
) -> dict[str, jax.Array]:
  """Scores a batch of images. Under jit, only the results in use are computed.

  Args:
    arrays: `heads.maps.Heads` of `Bands`, `state.Trained` of `OCRGAN`.
    images: uint8 [batch, size, size, 3 or 4].
    model: the static description.
    outputs: the wanted results; all by default.

  Returns:
    float32 arrays:
    `score` [batch];
    `map` [batch, size, size], the anomaly map;
    `features` [batch, n], for figures: mean statistics, or D's latent features;
    of `Bands`: `heads` [batch, heads], the surprise of each head;
    of `OCRGAN`: `content` and `latent` [batch], the terms of Eq. 13.
  """
  if isinstance(model, Bands):
    values = judge(arrays, to_float(images), valid_pixels(images))._asdict()
  else:
    values = _score_by_networks(arrays, images, model)
  return {name: values[name] for name in outputs or values}


def _score_by_networks(trained: Trained, images: jax.Array, model: OCRGAN) -> dict[str, jax.Array]:
  result = forward(model, trained.state, split(model, to_float(images)))
  found, rule = result.outputs._replace(valid=valid_pixels(images)), model.score
  maps = anomaly_score.anomaly_map(found, rule) / trained.map_unit
  return {
    'score': anomaly_score.SCORES[rule.kind](found, maps, rule),
    'map': maps,
    'content': anomaly_score.content_error(
      found.images, found.reconstructions, rule.content_distance, found.valid
    ),
    'latent': anomaly_score.latent_error(found.latent, found.reconstructed_latent),
    'features': found.latent,
  }


def view_step(arrays: Any, images: jax.Array, *, model: Bands | OCRGAN) -> dict[str, jax.Array]:
  """Computes intermediate results of a model, for figures.

  Args:
    arrays: as in `score_step`.
    images: uint8 [batch, size, size, 3 or 4].
    model: the static description.

  Returns:
    float32 arrays:
    `input` [batch, size, size, 3] and `map` [batch, size, size], the anomaly map;
    of `OCRGAN` also `reconstruction` [batch, size, size, 3], `bands` and `reconstructed_bands`
    [batch, branches, size, size, 3], and `cs1`, `cs2` …, the channel weights of each CS
    [batch, branches, channels].
  """
  if isinstance(model, Bands):
    real = to_float(images)
    return {'input': real, 'map': judge(arrays, real, valid_pixels(images)).map}
  bands, real = split(model, to_float(images))
  result = forward(model, arrays.state, (bands, real))
  found = result.outputs._replace(valid=valid_pixels(images))
  return {
    'input': real,
    'map': anomaly_score.anomaly_map(found, model.score) / arrays.map_unit,
    'reconstruction': found.reconstructions,
    'bands': jnp.stack(bands, axis=1),
    'reconstructed_bands': jnp.stack(result.reconstructed_bands, axis=1),
    **result.channel_weights,
  }
