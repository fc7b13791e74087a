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
    deviations: whether it is given deviations from a density. Then the root of their mean
      square is where its logits begin.
    dtype: type of the computation; parameters and batch statistics are float32.
  """

  width: int
  deviations: bool
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self,
    images: jax.Array,
    reconstructions: jax.Array,
    deviations: Any,
    *,
    train: bool,
  ) -> tuple[jax.Array, jax.Array]:
    """Judges pixels by image, reconstruction and their absolute difference.

    Args:
      images: float [batch, size, size, 3], size a power of two from 32.
      reconstructions: of them, shaped alike.
      deviations: float32 [batch, size / 2, size / 2, c], or None.
      train: batch statistics (updated) instead of running ones.

    Returns:
      One logit a pixel, high for defects, float32 [batch, size / 2, size / 2]; and the
      features they are made of, float32 [batch, size / 2, size / 2, width].
    """

    def block(x: jax.Array, name: str) -> jax.Array:
      norm = BatchNorm(dtype=self.dtype, name=f'{name}_norm')
      return leaky_relu(norm(x, train=train))

    x = jnp.concatenate([images, reconstructions, jnp.abs(images - reconstructions)], axis=-1)
    x = x.astype(self.dtype)
    channels = [self.width * min(2**i, MOST) for i in range(DEPTH)]
    skips = []
    for stage, count in enumerate(channels, 1):
      x = DownConv(count, dtype=self.dtype, name=f'e{stage}')(x)
      if stage == 1 and self.deviations:
        # Roots, for a defect may be a hundred times as far off as anything normal.
        roots = jnp.sign(deviations) * jnp.sqrt(jnp.abs(deviations))
        x = x + nn.Dense(count, use_bias=False, dtype=self.dtype, name='deviations')(roots)
      x = block(x, f'e{stage}')
      skips.append(x)
    for stage in range(DEPTH - 1, 0, -1):
      x = UpConv(channels[stage - 1], dtype=self.dtype, name=f'd{stage}')(x)
      x = block(x, f'd{stage}')
      x = jnp.concatenate([skips[stage - 1], x], axis=-1)
    features = block(Conv(self.width, dtype=self.dtype, name='features')(x), 'features')
    logits = nn.Dense(1, dtype=self.dtype, name='logits')(features)[..., 0]
    logits = logits.astype(jnp.float32)
    if self.deviations:
      gain = self.param('gain', nn.initializers.ones_init(), (), jnp.float32)
      logits = logits + gain * jnp.sqrt(jnp.square(deviations).mean(-1))
    return logits, features.astype(jnp.float32)
