"""The discriminator that judges pixels: a small U-Net beside the paper's (beyond the paper)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ocrgan_jax.networks.layers import BatchNorm, Conv, DownConv, UpConv, leaky_relu

DEPTH = 5  # halvings
MOST = 4  # times `width`, the channels of the deepest stages


class PixelDiscriminator(nn.Module):
  """Tells forged pixels from normal ones, at half the resolution of the images.

  Attributes:
    width: channels of the first stage; deeper ones have up to 4·width.
    dtype: type of the computation; parameters and batch statistics are float32.
  """

  width: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self, images: jax.Array, reconstructions: jax.Array, *, train: bool
  ) -> tuple[jax.Array, jax.Array]:
    """Judges pixels by image, reconstruction and their absolute difference.

    Args:
      images: float [batch, size, size, 3], size a power of two from 32.
      reconstructions: of them, shaped alike.
      train: batch statistics (updated) instead of running ones.

    Returns:
      One logit a pixel, high for defects, float32 [batch, size / 2, size / 2]; and the
      features they are made of, float32 [batch, size / 2, size / 2, width].
    """

    def block(layer: nn.Module, x: jax.Array) -> jax.Array:
      norm = BatchNorm(dtype=self.dtype, name=f'{layer.name}_norm')
      return leaky_relu(norm(layer(x), train=train))

    x = jnp.concatenate([images, reconstructions, jnp.abs(images - reconstructions)], axis=-1)
    x = x.astype(self.dtype)
    channels = [self.width * min(2**i, MOST) for i in range(DEPTH)]
    skips = []
    for stage, count in enumerate(channels, 1):
      x = block(DownConv(count, dtype=self.dtype, name=f'e{stage}'), x)
      skips.append(x)
    for stage in range(DEPTH - 1, 0, -1):
      x = block(UpConv(channels[stage - 1], dtype=self.dtype, name=f'd{stage}'), x)
      x = jnp.concatenate([skips[stage - 1], x], axis=-1)
    features = block(Conv(self.width, dtype=self.dtype, name='features'), x)
    logits = nn.Dense(1, dtype=self.dtype, name='logits')(features)[..., 0]
    return logits.astype(jnp.float32), features.astype(jnp.float32)
