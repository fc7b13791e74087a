"""The static description of a model of the paper: networks that are trained."""

import dataclasses
from typing import ClassVar

from ocrgan_jax.core.checks import check, power_of_two
from ocrgan_jax.forging.cutpaste import Forgery
from ocrgan_jax.networks import Discriminator, Generator
from ocrgan_jax.optimization.losses import Loss, generator_terms
from ocrgan_jax.optimization.optimizer import Optimizer
from ocrgan_jax.scoring.anomaly_score import Score


@dataclasses.dataclass(frozen=True, kw_only=True)
class OCRGAN:
  """Everything about such a model that never changes: hashable, without arrays.

  Attributes:
    trains: whether networks are trained.
    generator: G, one U-Net per band kept.
    discriminator: D.
    optimizer: of G and D; each has its own state.
    image_size: side of the images in pixels.
    branches: N, the number of bands that FD makes.
    bands: indices of the bands kept, 0 is the lowest; all of them except in Table VI.
    loss: Eq. 9-12.
    forgery: forgeries of training and validation.
    score: how images are scored.
    has_valid: whether images have a fourth channel, 255 where a pixel counts.

  Raises:
    InputError: if a field is out of bounds, or two fields contradict each other.
  """

  trains: ClassVar[bool] = True
  generator: Generator
  discriminator: Discriminator
  optimizer: Optimizer
  image_size: int = power_of_two(32)
  branches: int
  bands: tuple[int, ...]
  loss: Loss
  forgery: Forgery
  score: Score
  has_valid: bool = False

  def __post_init__(self) -> None:
    check(self)

  @property
  def trains_discriminator(self) -> bool:
    """Whether D is trained. It is not if neither G's loss nor the score uses it."""
    terms = generator_terms(self.loss).values()
    loss_uses_it = any(term.needs_discriminator for term in terms if term.weight > 0)
    return loss_uses_it or self.score.needs_latent

  @property
  def channels(self) -> int:
    """Channels of the uint8 input images."""
    return 4 if self.has_valid else 3
