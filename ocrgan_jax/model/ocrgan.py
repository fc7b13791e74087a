"""The static description of a model."""

import dataclasses

from ocrgan_jax.core.checks import check, power_of_two
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.forging.cutpaste import Forgery
from ocrgan_jax.networks import Discriminator, Generator
from ocrgan_jax.optimization.losses import Loss, generator_terms
from ocrgan_jax.optimization.optimizer import Optimizer
from ocrgan_jax.scoring.anomaly_score import Score


@dataclasses.dataclass(frozen=True, kw_only=True)
class OCRGAN:
  """Everything about a model that never changes: hashable, without arrays.

  Attributes:
    generator: G, one U-Net per band kept.
    discriminator: D.
    optimizer: of G and D; each has its own state.
    image_size: side of the images in pixels.
    branches: N, the number of bands that FD makes.
    bands: indices of the bands kept, 0 is the lowest; all of them except in Table VI.
    loss: Eq. 9-12.
    trains: whether G and D are trained; if not, they have no parameters.
    forgery: forgeries of training and validation.
    score: how images are scored.
    has_valid: whether images have a fourth channel, 255 where a pixel counts.

  Raises:
    InputError: if a field is out of bounds, or two fields contradict each other.
  """

  generator: Generator
  discriminator: Discriminator
  optimizer: Optimizer
  image_size: int = power_of_two(32)
  branches: int
  bands: tuple[int, ...]
  trains: bool
  loss: Loss
  forgery: Forgery
  score: Score
  has_valid: bool = False

  def __post_init__(self) -> None:
    check(self)
    if not self.trains and self.score.needs_networks:
      raise InputError(
        'train.epochs is 0, so there are no networks to score with: set score.kind=heads, or set '
        'train.epochs above 0'
      )

  @property
  def trains_discriminator(self) -> bool:
    """Whether D is trained. It is not if neither G's loss nor the score uses it."""
    terms = generator_terms(self.loss).values()
    loss_uses_it = any(term.needs_discriminator for term in terms if term.weight > 0)
    return self.trains and (loss_uses_it or self.score.needs_latent)

  @property
  def channels(self) -> int:
    """Channels of the uint8 input images."""
    return 4 if self.has_valid else 3
