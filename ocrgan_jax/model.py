"""The static description of a model."""

import dataclasses

from ocrgan_jax.checks import check, one_of, power_of_two
from ocrgan_jax.density import Density
from ocrgan_jax.errors import InputError
from ocrgan_jax.forgery import FAMILIES, Forgery
from ocrgan_jax.losses import Loss, generator_terms
from ocrgan_jax.networks import Discriminator, Generator
from ocrgan_jax.optimizer import Optimizer
from ocrgan_jax.scoring import Score


@dataclasses.dataclass(frozen=True, kw_only=True)
class OCRGAN:
  """Everything that is fixed while a model trains and scores: hashable, no arrays.

  Attributes:
    generator: G, one U-Net for each of the bands kept.
    discriminator: D.
    optimizer: of G and of D, each with a state of its own.
    image_size: side of the images in pixels.
    branches: N, the number of bands that FD makes.
    bands: which of them, from 0 (the lowest), are kept; all but in Table VI.
    generator_input: what G is given in training, 'normal' (the paper) or
      'forged', to be restored to the normal image.
    loss: Eq. 9-12.
    trains: whether G and D are trained; if not, they have no parameters.
    forgery: CutPaste and CutOut, and the forgeries of validation.
    density: how normality is modelled, if the score asks for it.
    score: Eq. 13, or of the anomaly map.

  Raises:
    InputError: if a field is out of bounds, or two contradict each other.
  """

  generator: Generator
  discriminator: Discriminator
  optimizer: Optimizer
  image_size: int = power_of_two(32)
  branches: int
  bands: tuple[int, ...]
  generator_input: str = one_of('normal', 'forged', name='train.generator_input')
  trains: bool
  loss: Loss
  forgery: Forgery
  density: Density
  score: Score

  def __post_init__(self) -> None:
    check(self)
    if self.generator_input == 'forged' and not self.forges:
      families = ', '.join(f'forgery.{name}' for name in (*FAMILIES, 'mixtures'))
      raise InputError(f"train.generator_input is 'forged' but {families} are all off")
    if not self.trains and self.score.needs_networks:
      raise InputError(
        'train.epochs is 0, so there are no networks to score by: use score.kind=map and '
        'score.map=density, or train'
      )

  @property
  def forges(self) -> bool:
    """Whether training makes forged images at all."""
    return not self.forgery.is_off

  @property
  def validates_by_forgeries(self) -> bool:
    """Whether there are forged copies to tell held-out images from."""
    return self.forges or self.forgery.validation == 'unseen'

  @property
  def trains_discriminator(self) -> bool:
    """Whether anything, G's loss or the score, looks at D."""
    if not self.trains:
      return False
    terms = generator_terms(self.loss).values()
    in_loss = any(term.needs_discriminator for term in terms if term.weight > 0)
    return in_loss or self.score.needs_discriminator
