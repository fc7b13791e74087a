"""The forward pass with running statistics, for scoring: pure functions of arrays."""

import functools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import jax

from ocrgan_jax.model.inputs import add_arrays
from ocrgan_jax.model.ocrgan import OCRGAN
from ocrgan_jax.model.state import State
from ocrgan_jax.scoring import anomaly_score


class Forward(NamedTuple):
  """Everything that maps, scores and figures are computed from.

  Attributes:
    outputs: for maps and scores.
    reconstructed_bands: one float32 [batch, size, size, 3] per band; empty if no network is
      trained.
    channel_weights: name of each CS → its weights [batch, branches, channels].
  """

  outputs: anomaly_score.Outputs
  reconstructed_bands: Sequence[jax.Array] = ()
  channel_weights: Mapping[str, jax.Array] = MappingProxyType({})


def forward(model: OCRGAN, state: State, decoupled: tuple[list[jax.Array], jax.Array]) -> Forward:
  """Runs the networks, if any are trained. Under jit, only the results in use are computed.

  Args:
    model: the static description.
    state: the state.
    decoupled: the bands and the image, from `split`.

  Returns:
    The results.
  """
  bands, real = decoupled
  if not model.trains:
    return Forward(anomaly_score.Outputs(real))
  reconstructed, sown = model.generator.apply(
    state.generator.variables, bands, train=False, mutable=['intermediates']
  )
  fake, intermediates = add_arrays(reconstructed), sown.get('intermediates', {})  # without CS: {}
  discriminate = functools.partial(
    model.discriminator.apply, state.discriminator.variables, train=False
  )
  (_, latent), (_, fake_latent) = discriminate(real), discriminate(fake)
  return Forward(
    anomaly_score.Outputs(real, fake, latent, fake_latent),
    reconstructed_bands=reconstructed,
    channel_weights={name: cs['weights'][0].swapaxes(0, 1) for name, cs in intermediates.items()},
  )
