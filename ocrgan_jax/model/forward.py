"""The forward pass with running statistics, for scoring: pure functions of arrays."""

import functools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ocrgan_jax.density import gaussian
from ocrgan_jax.density.band_statistics import band_statistics
from ocrgan_jax.density.moments import Moments, batch_moments
from ocrgan_jax.model.inputs import add_arrays, density_deviations, split, to_float
from ocrgan_jax.model.ocrgan import OCRGAN
from ocrgan_jax.model.state import State
from ocrgan_jax.scoring import anomaly_score


class Forward(NamedTuple):
  """Everything that maps, scores, densities and figures are computed from.

  Attributes:
    outputs: for maps and scores.
    reconstructed_bands: one float32 [batch, size, size, 3] per band; empty if no network is
      trained.
    channel_weights: name of each CS → its weights [batch, branches, channels].
    pixel_features: features of a pixel-wise D, [batch, size / 2, size / 2, n].
  """

  outputs: anomaly_score.Outputs
  reconstructed_bands: Sequence[jax.Array] = ()
  channel_weights: Mapping[str, jax.Array] = MappingProxyType({})
  pixel_features: Any = None


def forward(
  model: OCRGAN,
  state: State,
  reference: anomaly_score.Reference,
  decoupled: tuple[list[jax.Array], jax.Array],
) -> Forward:
  """Runs the networks and the density. Under jit, only the results in use are computed.

  Args:
    model: the static description.
    state: the state.
    reference: of the calibration.
    decoupled: the bands and the image, from `split`.

  Returns:
    The results.
  """
  bands, real = decoupled
  result = Forward(anomaly_score.Outputs(real))
  if model.trains:
    result = _forward_networks(model, state, bands, real)
  fitted = (*(state.density if model.score.needs_density else ()), *(reference.density or ()))
  if fitted:
    distance = gaussian.distance(fitted, _statistics(model, result))
    result = result._replace(outputs=result.outputs._replace(distance=distance))
  return result


def moments_step(
  state: State, count: jax.Array, images: jax.Array, *, model: OCRGAN, learned: bool
) -> Moments:
  """Computes the moments of a batch of normal images, from which a density is fitted.

  Args:
    state: the state.
    count: number of images; the rest of the batch is padding.
    images: uint8 [batch, size, size, 3 or 4].
    model: the static description.
    learned: whether to include the statistics that come from networks.

  Returns:
    The moments.
  """
  bands, real = split(model, to_float(images))
  if learned:
    result = forward(model, state, anomaly_score.Reference(None), (bands, real))
    statistics = _statistics(model, result)
  else:
    statistics = band_statistics(real)
  return batch_moments(statistics, count, model.density.regions)


def _forward_networks(
  model: OCRGAN, state: State, bands: list[jax.Array], real: jax.Array
) -> Forward:
  reconstructed, sown = model.generator.apply(
    state.generator.variables, bands, train=False, mutable=['intermediates']
  )
  fake, intermediates = add_arrays(reconstructed), sown.get('intermediates', {})  # without CS: {}
  result = Forward(
    anomaly_score.Outputs(real, fake),
    reconstructed_bands=reconstructed,
    channel_weights={name: cs['weights'][0].swapaxes(0, 1) for name, cs in intermediates.items()},
  )
  discriminate = functools.partial(
    model.discriminator.apply, state.discriminator.variables, train=False
  )
  if model.judges_pixels:
    _, features = discriminate(real, fake, density_deviations(model, state, real))
    return result._replace(pixel_features=features)
  (_, latent), (_, fake_latent) = discriminate(real), discriminate(fake)
  outputs = result.outputs._replace(latent=latent, reconstructed_latent=fake_latent)
  return result._replace(outputs=outputs)


def _statistics(model: OCRGAN, result: Forward) -> jax.Array:
  """The density's inputs, float32 [batch, size / 2, size / 2, C]; see `OCRGAN.statistics`."""
  parts = [band_statistics(result.outputs.images)]
  if model.stages.learned:
    parts.append(result.pixel_features)
  return jnp.concatenate([part.astype(jnp.float32) for part in parts], axis=-1)
