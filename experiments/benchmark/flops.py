"""Counts the FLOPs of a step by hand."""

from experiments.benchmark.programs import Shape, discriminator_width
from ocrgan_jax.networks.discriminator import LATENT_SIZE


def flops_by_hand(shape: Shape) -> dict[str, float]:
  """Counts multiplications and additions in the convolutions of a step, over all branches.

  A forward pass of G or D counts once, the gradient by its parameters as much again, and the
  gradient by its input as much again. G's loss needs G's forward pass with both gradients, and
  D's gradient by its input. D's loss needs D's forward pass with both gradients for three
  inputs. No gradient by the images themselves is needed.

  Returns:
    FLOPs of 'train' and of 'score'.
  """
  size, width = shape.size, shape.width
  depth = size.bit_length() - 1
  channels = [width * min(2**i, 8) for i in range(depth)]
  conv = lambda pixels, inputs, outputs: 2 * 16 * pixels * inputs * outputs
  encoder = [
    conv((size >> (i + 1)) ** 2, inputs, outputs)
    for i, (inputs, outputs) in enumerate(zip([3, *channels], channels, strict=False))
  ]
  # A transposed convolution with stride 2 multiplies each input pixel with each of its weights.
  inputs = [2 * c for c in channels[:-1]] + [channels[-1]]
  decoder = [conv((size >> (i + 1)) ** 2, inputs[i], ([3, *channels])[i]) for i in range(depth)]
  g = 2 * sum(encoder + decoder)
  g_first = 2 * encoder[0]
  layers, c, side = [], discriminator_width(shape), size // 2
  layers.append(conv(side**2, 3, c))
  while side > 4:
    c, side = 2 * c, side // 2
    layers.append(conv(side**2, c // 2, c))
  layers.append(conv(1, c, LATENT_SIZE))
  d = sum(layers)
  train = 3 * g - g_first + 3 * (3 * d - layers[0]) + d
  return {'train': shape.batch * train, 'score': shape.batch * (g + 2 * d)}
