"""The optimiser of G and D, as a hashable setting."""

import dataclasses

import optax

from ocrgan_jax.core.checks import at_least, check


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer:
  """The optimiser fields of the config's section `train`: Adam as in PyTorch (IV-A2).

  Attributes:
    learning_rate: step size.
    weight_decay: L2 penalty, added to the gradient before the moments; 0 for none.
    beta1: decay of the first moment.
    beta2: decay of the second moment.

  Raises:
    InputError: if a field is out of bounds.
  """

  learning_rate: float = at_least(0)
  weight_decay: float = at_least(0)
  beta1: float
  beta2: float

  def __post_init__(self) -> None:
    check(self, 'train')

  def transformation(self) -> optax.GradientTransformation:
    """The optax optimiser."""
    coupled = [optax.add_decayed_weights(self.weight_decay)] if self.weight_decay else []
    adam = optax.adam(self.learning_rate, b1=self.beta1, b2=self.beta2, eps=1e-8)
    return optax.chain(*coupled, adam)
