"""All that a model makes of images, with running statistics: pure functions of arrays."""

import functools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ocrgan_jax.density import gaussian
from ocrgan_jax.density.band_statistics import band_statistics
from ocrgan_jax.density.moments import Moments, moments_of
from ocrgan_jax.model.inputs import deviations_of, split, summed, to_float
from ocrgan_jax.model.ocrgan import OCRGAN
from ocrgan_jax.model.state import State
from ocrgan_jax.scoring import anomaly_score


class Forward(NamedTuple):
  """All that a map, a score, a density or a picture can look at.

  Attributes:
    outputs: for maps and scores.
    reconstructed_bands: float32 [batch, size, size, 3] each; none where nothing is trained.
    channel_weights: name of each CS → its weights [batch, branches, channels].
    pixel_features: of a D that judges pixels, [batch, size / 2, size / 2, n].
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
  made = Forward(anomaly_score.Outputs(real))
  if model.trains:
    made = _forward_networks(model, state, bands, real)
  fitted = (*(state.density if model.score.needs_density else ()), *(reference.density or ()))
  if fitted:
    distance = gaussian.distance(fitted, _statistics(model, made))
    made = made._replace(outputs=made.outputs._replace(distance=distance))
  return made


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
    made = forward(model, state, anomaly_score.Reference(None), (bands, real))
    statistics = _statistics(model, made)
  else:
    statistics = band_statistics(real)
  return moments_of(statistics, count, model.density.regions)


def _forward_networks(
  model: OCRGAN, state: State, bands: list[jax.Array], real: jax.Array
) -> Forward:
  reconstructed, sown = model.generator.apply(
    state.generator.variables, bands, train=False, mutable=['intermediates']
  )
  fake, seen = summed(reconstructed), dict(sown['intermediates'])
  made = Forward(
    anomaly_score.Outputs(real, fake),
    reconstructed_bands=reconstructed,
    channel_weights={name: cs['weights'][0].swapaxes(0, 1) for name, cs in seen.items()},
  )
  judge = functools.partial(model.discriminator.apply, state.discriminator.variables, train=False)
  if model.judges_pixels:
    _, features = judge(real, fake, deviations_of(model, state, real))
    return made._replace(pixel_features=features)
  (_, latent), (_, fake_latent) = judge(real), judge(fake)
  outputs = made.outputs._replace(latent=latent, reconstructed_latent=fake_latent)
  return made._replace(outputs=outputs)


def _statistics(model: OCRGAN, made: Forward) -> jax.Array:
  """What the density looks at: float32 [batch, size / 2, size / 2, C], see `model.statistics`."""
  parts = [band_statistics(made.outputs.images)]
  if model.stages.learned:
    parts.append(made.pixel_features)
  return jnp.concatenate([part.astype(jnp.float32) for part in parts], axis=-1)
