"""A discriminator that judges pixels: a small U-Net (beyond the paper)."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ocrgan_jax.networks.layers import leaky_relu

# Channels of the stages after the first, as multiples of `width`; each halves the resolution.
STAGES = (1.0, 1.5, 2.0, 2.0)
RARE = -3.0  # initial logit: few pixels are forged


class PixelDiscriminator(nn.Module):
  """Distinguishes forged pixels from normal ones, at half the resolution of the images.

  Has no batch normalisation, so it computes the same in training and in scoring.

  Attributes:
    width: channels of the first stage, and of the features.
    deviations: whether it gets deviations from a density as input. Its logits then start from
      their root mean square.
    dtype: dtype of the computation; parameters are float32.
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
      images: float [batch, size, size, 3]; size is a power of two, at least 32.
      reconstructions: of the images, with the same shape.
      deviations: float32 [batch, size / 2, size / 2, c], or None.
      train: unused; for the same signature as `Discriminator`.

    Returns:
      One logit per pixel, high for defects, float32 [batch, size / 2, size / 2]; and the
      features before the last layer, float32 [batch, size / 2, size / 2, width].
    """
    del train
    conv = functools.partial(nn.Conv, kernel_init=nn.initializers.he_normal(), dtype=self.dtype)
    halve = functools.partial(conv, kernel_size=(4, 4), strides=2, padding=1)

    x = jnp.concatenate([images, reconstructions, jnp.abs(images - reconstructions)], axis=-1)
    x = halve(self.width, name='e1')(x.astype(self.dtype))
    if self.deviations:
      # Logarithms, because a defect may deviate a hundred times more than anything normal.
      logs = jnp.sign(deviations) * jnp.log1p(jnp.abs(deviations))
      x = x + conv(self.width, (1, 1), name='deviations')(logs.astype(self.dtype))
    x = leaky_relu(conv(self.width, (3, 3), name='e1_again')(leaky_relu(x)))
    skips = []
    for stage, share in enumerate(STAGES, 2):
      skips.append(x)
      x = leaky_relu(halve(round(share * self.width), name=f'e{stage}')(x))
    for stage, skip in reversed([*enumerate(skips, 1)]):
      x = x.repeat(2, axis=1).repeat(2, axis=2)
      x = skip + conv(skip.shape[-1], (1, 1), name=f'd{stage}')(x)
      x = leaky_relu(conv(skip.shape[-1], (3, 3), name=f'd{stage}_again')(x))
    nothing, rare = nn.initializers.zeros_init(), nn.initializers.constant(RARE)
    judge = nn.Dense(1, kernel_init=nothing, bias_init=rare, dtype=self.dtype, name='logits')
    logits = judge(x)[..., 0].astype(jnp.float32)
    if self.deviations:
      gain = self.param('gain', nn.initializers.ones_init(), (), jnp.float32)
      logits = logits + gain * (jnp.sqrt(jnp.square(deviations).mean(-1)) - 1)
    return logits, x.astype(jnp.float32)
