"""One step of scoring: pure functions of arrays, no I/O, with running statistics."""

import functools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ocrgan_jax import density, scoring
from ocrgan_jax.band_statistics import band_statistics
from ocrgan_jax.density import Gaussians
from ocrgan_jax.inputs import counts_of, deviations_of, given, split, summed, to_float
from ocrgan_jax.model import OCRGAN
from ocrgan_jax.moments import Moments, moments_of
from ocrgan_jax.state import State


def score_step(
  state: State, reference: scoring.Reference, images: jax.Array, *, model: OCRGAN
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
  looked = look(model, state, reference, split(model, to_float(images)))
  outputs = looked.outputs._replace(counts=counts_of(images))
  maps = scoring.anomaly_map(outputs, rule, reference.map_unit)
  values = {'score': scoring.SCORES[rule.kind](outputs, maps, rule), 'map': maps}
  if not model.trains:
    return {**values, 'features': band_statistics(outputs.images).mean((1, 2))}
  distance = rule.content_distance
  content = scoring.content_error(outputs.images, outputs.reconstructions, distance, outputs.counts)
  values['content'] = content
  if model.judges_pixels:
    return {**values, 'features': looked.pixel_features.mean((1, 2))}
  latent = scoring.latent_error(outputs.latent, outputs.reconstructed_latent)
  return {**values, 'latent': latent, 'features': outputs.latent}


def maps_step(
  state: State, fitted: tuple[Gaussians, ...] | None, images: jax.Array, *, model: OCRGAN
) -> jax.Array:
  """The anomaly maps that the score adds, in no units yet.

  Args:
    state: the state.
    fitted: the density, if the maps ask for one.
    images: uint8 [batch, size, size, 3 or 4].
    model: the static description.

  Returns:
    float32 [batch, maps, size, size].
  """
  reference = scoring.Reference(None, fitted)
  looked = look(model, state, reference, split(model, to_float(images)))
  outputs = looked.outputs._replace(counts=counts_of(images))
  return scoring.anomaly_maps(outputs, model.score)


def explain_step(
  state: State, reference: scoring.Reference, images: jax.Array, *, model: OCRGAN
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
  looked = look(model, state, reference, (bands, real))
  outputs = looked.outputs._replace(counts=counts_of(images))
  views = {
    'input': real,
    'map': scoring.anomaly_map(outputs, model.score, reference.map_unit),
    'bands': jnp.stack(bands, axis=1),
  }
  if not model.trains:
    return views
  return {
    **views,
    'reconstruction': looked.outputs.reconstructions,
    'reconstructed_bands': jnp.stack(looked.reconstructed_bands, axis=1),
    **looked.channel_weights,
  }


class Looked(NamedTuple):
  """All that a map, a score, a density or a picture can look at.

  Attributes:
    outputs: for maps and scores.
    reconstructed_bands: float32 [batch, size, size, 3] each; none where nothing is trained.
    channel_weights: name of each CS → its weights [batch, branches, channels].
    encoder: features of G's first encoder stage after CS, [batch, size / 2, size / 2, n].
    pixel_features: of a D that judges pixels, [batch, size / 2, size / 2, n].
  """

  outputs: scoring.Outputs
  reconstructed_bands: Sequence[jax.Array] = ()
  channel_weights: Mapping[str, jax.Array] = MappingProxyType({})
  encoder: Any = None
  pixel_features: Any = None


def look(
  model: OCRGAN,
  state: State,
  reference: scoring.Reference,
  decoupled: tuple[list[jax.Array], jax.Array],
) -> Looked:
  """Looks at images with running statistics. Under jit only what is taken is computed.

  Args:
    model: the static description.
    state: the state.
    reference: of the calibration.
    decoupled: the bands and the image, from `split`.

  Returns:
    What there is to see.
  """
  bands, real = decoupled
  looked = Looked(scoring.Outputs(real))
  if model.trains:
    looked = _look_with_networks(model, state, bands, real)
  fitted = (*(state.density if model.score.needs_density else ()), *(reference.density or ()))
  if fitted:
    distance = density.distance(fitted, _statistics(model, looked))
    looked = looked._replace(outputs=looked.outputs._replace(distance=distance))
  return looked


def moments_step(
  state: State, count: jax.Array, images: jax.Array, *, model: OCRGAN, learned: bool
) -> Moments:
  """The moments of a batch of normal images, which a density is fitted to.

  Args:
    state: the state.
    count: how many images of the batch count: the first so many.
    images: uint8 [batch, size, size, 3 or 4].
    model: the static description.
    learned: whether of the statistics that networks give too.

  Returns:
    The moments.
  """
  bands, real = split(model, to_float(images))
  if learned:
    looked = look(model, state, scoring.Reference(None), (bands, real))
    statistics = _statistics(model, looked)
  else:
    statistics = band_statistics(real)
  return moments_of(statistics, count, model.density.regions)


def _look_with_networks(
  model: OCRGAN, state: State, bands: list[jax.Array], real: jax.Array
) -> Looked:
  made, sown = model.generator.apply(
    state.generator.variables, given(model, bands), train=False, mutable=['intermediates']
  )
  fake, seen = summed(made), dict(sown['intermediates'])
  (encoder,) = seen.pop('encoder')
  looked = Looked(
    scoring.Outputs(real, fake),
    reconstructed_bands=made,
    channel_weights={name: cs['weights'][0].swapaxes(0, 1) for name, cs in seen.items()},
    encoder=encoder,
  )
  judge = functools.partial(model.discriminator.apply, state.discriminator.variables, train=False)
  if model.judges_pixels:
    logits, features = judge(real, fake, deviations_of(model, state, real))
    outputs = looked.outputs._replace(pixel_logits=logits)
    return looked._replace(outputs=outputs, pixel_features=features)
  (_, latent), (_, fake_latent) = judge(real), judge(fake)
  outputs = looked.outputs._replace(latent=latent, reconstructed_latent=fake_latent)
  return looked._replace(outputs=outputs)


def _statistics(model: OCRGAN, looked: Looked) -> jax.Array:
  """What the density looks at: float32 [batch, size / 2, size / 2, C], see `model.statistics`."""
  real, fake = looked.outputs.images, looked.outputs.reconstructions
  learned = {
    'residual': lambda: band_statistics(real - fake),
    'encoder': lambda: looked.encoder,
    'pixels': lambda: looked.pixel_features,
  }
  parts = [band_statistics(real), *[learned[name]() for name in model.learned_statistics]]
  return jnp.concatenate([part.astype(jnp.float32) for part in parts], axis=-1)
