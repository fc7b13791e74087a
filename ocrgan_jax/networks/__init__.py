"""The parts of the network: FD, CS, the generator and the discriminator."""

from ocrgan_jax.networks.channel_selection import ChannelSelection
from ocrgan_jax.networks.discriminator import Discriminator
from ocrgan_jax.networks.frequency import frequency_decoupling
from ocrgan_jax.networks.generator import Generator

__all__ = [
  'ChannelSelection',
  'Discriminator',
  'Generator',
  'frequency_decoupling',
]
