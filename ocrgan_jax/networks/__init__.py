"""The parts of the network: FD, CS, the generator and the discriminators."""

from ocrgan_jax.networks.channel_selection import ChannelSelection
from ocrgan_jax.networks.discriminator import Discriminator
from ocrgan_jax.networks.frequency import frequency_decoupling
from ocrgan_jax.networks.generator import Generator
from ocrgan_jax.networks.pixel_discriminator import PixelDiscriminator

__all__ = [
  'ChannelSelection',
  'Discriminator',
  'Generator',
  'PixelDiscriminator',
  'frequency_decoupling',
]
