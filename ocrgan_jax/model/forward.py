"""The networks' forward pass with running statistics, for scoring: pure functions of arrays."""

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax

from ocrgan_jax.model.inputs import add_arrays
from ocrgan_jax.model.ocrgan import OCRGAN
from ocrgan_jax.model.state import State
from ocrgan_jax.scoring.anomaly_score import NetworkOutputs


class Forward(NamedTuple):
  """Everything that maps, scores and figures are computed from.

  Attributes:
    outputs: for maps and scores.
    reconstructed_bands: one float32 [batch, size, size, 3] per band.
    channel_weights: name of each CS → its weights [batch, branches, channels].
  """

  outputs: NetworkOutputs
  reconstructed_bands: Sequence[jax.Array]
  channel_weights: Mapping[str, jax.Array]


def forward(model: OCRGAN, state: State, decoupled: tuple[list[jax.Array], jax.Array]) -> Forward:
  """Runs the networks. Under jit, only the results in use are computed.

  Args:
    model: the static description.
    state: the state.
    decoupled: the bands and the image, from `split`.

  Returns:
    The results.
  """
  bands, real = decoupled
  reconstructed, sown = model.generator.apply(
    state.generator.variables, bands, train=False, mutable=['intermediates']
  )
  fake, intermediates = add_arrays(reconstructed), sown.get('intermediates', {})  # without CS: {}
  discriminate = functools.partial(
    model.discriminator.apply, state.discriminator.variables, train=False
  )
  (_, latent), (_, fake_latent) = discriminate(real), discriminate(fake)
  return Forward(
    NetworkOutputs(real, fake, latent, fake_latent),
    reconstructed_bands=reconstructed,
    channel_weights={name: cs['weights'][0].swapaxes(0, 1) for name, cs in intermediates.items()},
  )
