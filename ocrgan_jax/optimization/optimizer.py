"""The optimiser of G and D, as a hashable setting."""

import dataclasses

import optax

from ocrgan_jax.core.checks import at_least, check, one_of
from ocrgan_jax.core.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer:
  """The optimiser fields of the config's section `train`: Adam as in PyTorch (IV-A2).

  Attributes:
    learning_rate: step size.
    weight_decay: L2 penalty, added to the gradient before the moments; 0 for none.
    beta1: decay of the first moment.
    beta2: decay of the second moment.
    warmup: steps over which the learning rate rises from 0.
    decay: 'none', or 'cosine' for a decay to 0 at the last step.
    steps: length of the run, for the cosine.
    clip: largest gradient norm of each network; 0 for no clipping.

  Raises:
    InputError: if a field is out of bounds, or 'cosine' is set without `steps`.
  """

  learning_rate: float = at_least(0)
  weight_decay: float = at_least(0)
  beta1: float
  beta2: float
  warmup: int = at_least(0)
  decay: str = one_of('none', 'cosine')
  steps: int = at_least(0)
  clip: float = at_least(0)

  def __post_init__(self) -> None:
    check(self, 'train')
    if self.decay == 'cosine' and self.steps <= self.warmup:
      raise InputError(
        f"train.decay is 'cosine', which needs train.steps above train.warmup = {self.warmup}; "
        f'it is {self.steps}'
      )

  def transformation(self) -> optax.GradientTransformation:
    """The optax optimiser."""
    clipped = [optax.clip_by_global_norm(self.clip)] if self.clip else []
    coupled = [optax.add_decayed_weights(self.weight_decay)] if self.weight_decay else []
    adam = optax.adam(self._rate(), b1=self.beta1, b2=self.beta2, eps=1e-8)
    return optax.chain(*clipped, *coupled, adam)

  def _rate(self) -> float | optax.Schedule:
    if self.decay == 'cosine':
      return optax.warmup_cosine_decay_schedule(0.0, self.learning_rate, self.warmup, self.steps)
    if self.warmup:
      return optax.linear_schedule(0.0, self.learning_rate, self.warmup)
    return self.learning_rate
