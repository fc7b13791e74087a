"""The generator G: one U-Net per band, connected by CS at every encoder stage (III-C, Fig. 5)."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ocrgan_jax.networks.channel_selection import ChannelSelection
from ocrgan_jax.networks.layers import BatchNorm, DownConv, UpConv, leaky_relu


class Generator(nn.Module):
  """Reconstructs each frequency band with its own U-Net.

  The U-Nets are log2(size) stages deep, down to 1×1, so images are square and their side is a
  power of two. Branches share nothing but CS. Modules are named after the paper's stages:
  `branch1_e1` … `branch1_ek`, `branch1_dk` … `branch1_d1`, and `cs1` … `csk`.

  Attributes:
    width: w, channels of the first stage; deeper ones have up to 8·w.
    channel_selection: whether CS connects the branches. With a single branch CS is the
      identity (the only weight is 1) and is omitted.
    dtype: dtype of the computation; parameters and batch statistics are float32.
  """

  width: int
  channel_selection: bool = True
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, bands: Sequence[jax.Array], *, train: bool) -> list[jax.Array]:
    """Reconstructs the bands.

    Args:
      bands: one array [batch, size, size, 3] per branch.
      train: use batch statistics, and update the running ones.

    Returns:
      One float32 array [batch, size, size, 3] per branch, in (-1, 1); their sum is Î.
    """
    depth = bands[0].shape[1].bit_length() - 1
    channels = [self.width * min(2**i, 8) for i in range(depth)]
    outputs = [3, *channels[:-1]]  # of d1 … dk
    norm = lambda x, name: BatchNorm(dtype=self.dtype, name=name)(x, train=train)

    hidden = [band.astype(self.dtype) for band in bands]
    skips: list[list[jax.Array]] = []  # one list of branches per encoder stage
    for stage in range(1, depth + 1):
      for b, x in enumerate(hidden):
        name = f'branch{b + 1}_e{stage}'
        x = x if stage == 1 else leaky_relu(x)
        x = DownConv(channels[stage - 1], dtype=self.dtype, name=name)(x)
        hidden[b] = norm(x, f'{name}_norm') if 1 < stage < depth else x
      if self.channel_selection and len(bands) > 1:
        hidden = ChannelSelection(dtype=self.dtype, name=f'cs{stage}')(hidden)
      skips.append(list(hidden))

    for stage in range(depth, 0, -1):
      for b, x in enumerate(hidden):
        name = f'branch{b + 1}_d{stage}'
        x = x if stage == depth else jnp.concatenate([skips[stage - 1][b], x], axis=-1)
        last = stage == 1
        x = UpConv(outputs[stage - 1], use_bias=last, dtype=self.dtype, name=name)(nn.relu(x))
        hidden[b] = x if last else norm(x, f'{name}_norm')
    return [jnp.tanh(x.astype(jnp.float32)) for x in hidden]
