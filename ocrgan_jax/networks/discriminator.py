"""The discriminator D: distinguishes normal images from reconstructed and forged ones."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ocrgan_jax.networks.layers import BatchNorm, DownConv, PixelConv, leaky_relu

LATENT_SIZE = 100


class Discriminator(nn.Module):
  """A DCGAN discriminator down to 4×4, then 100 latent features, then one logit.

  Attributes:
    width: channels of the first convolution; each further one doubles them.
    dtype: dtype of the computation; parameters and batch statistics are float32.
  """

  width: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, images: jax.Array, *, train: bool) -> tuple[jax.Array, jax.Array]:
    """Judges images.

    Args:
      images: float [batch, size, size, 3]; size is a power of two, at least 8.
      train: use batch statistics, and update the running ones.

    Returns:
      The logit, float32 [batch], and `D_lat`, float32 [batch, 100], the features of the
      second-to-last convolution (III-D).
    """
    x, features = images.astype(self.dtype), self.width
    x = leaky_relu(DownConv(features, dtype=self.dtype, name='conv1')(x))
    stage = 1
    while x.shape[1] > 4:
      stage, features = stage + 1, 2 * features
      x = DownConv(features, dtype=self.dtype, name=f'conv{stage}')(x)
      x = leaky_relu(BatchNorm(dtype=self.dtype, name=f'conv{stage}_norm')(x, train=train))
    latent = PixelConv(4, LATENT_SIZE, dtype=self.dtype, name='latent')(x)
    logit = PixelConv(3, 1, dtype=self.dtype, name='logit')(latent)
    return logit[:, 0, 0, 0].astype(jnp.float32), latent[:, 0, 0].astype(jnp.float32)
