"""Channel Selection (CS): weighs the branches against each other, per channel, Eq. 4-8."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


class ChannelSelection(nn.Module):
  """Weighs every channel of every branch, by the features of all branches.

  Sows the weights as `intermediates/weights`, an array [branches, batch, channels] that sums
  to 1 over the branches.

  Attributes:
    dtype: dtype of the computation; parameters are float32.
  """

  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, features: Sequence[jax.Array]) -> list[jax.Array]:
    """Applies Eq. 4-8.

    Args:
      features: one array [batch, height, width, channels] per branch, N ≥ 1.

    Returns:
      The same arrays, each multiplied by its channel weights.
    """
    channels = features[0].shape[-1]
    dense = lambda size, name: nn.Dense(size, dtype=self.dtype, name=name)
    z1 = sum(features).mean((1, 2))  # type: ignore[union-attr]  # Eq. 4-5
    z2 = dense(max(channels // 2, 32), 'squeeze')(z1)  # Eq. 6
    logits = jnp.stack([dense(channels, f'branch{b}')(z2) for b in range(1, len(features) + 1)])
    weights = nn.softmax(logits.astype(jnp.float32), axis=0)  # Eq. 7
    self.sow('intermediates', 'weights', weights)
    weights = weights.astype(self.dtype)[:, :, None, None, :]
    return [w * f for w, f in zip(weights, features, strict=True)]  # Eq. 8
