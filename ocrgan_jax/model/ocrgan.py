"""The static description of a model."""

import dataclasses
import functools

from ocrgan_jax.core.checks import check, one_of, power_of_two
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.density.band_statistics import CHANNELS
from ocrgan_jax.density.gaussian import Density
from ocrgan_jax.forging.cutpaste import FAMILIES, Forgery
from ocrgan_jax.model.stages import Stages, build_stages
from ocrgan_jax.networks import Discriminator, Generator, PixelDiscriminator
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
    generator_input: G's input in training: 'normal' images (the paper), or 'forged' ones that it
      restores to the normal ones.
    loss: Eq. 9-12.
    trains: whether G and D are trained; if not, they have no parameters.
    forgery: forgeries of training and validation.
    density: the model of normal images, if the score or D uses one.
    score: how images are scored.
    has_counts: whether images have a fourth channel, 255 where a pixel counts.

  Raises:
    InputError: if a field is out of bounds, or two fields contradict each other.
  """

  generator: Generator
  discriminator: Discriminator | PixelDiscriminator
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
  has_counts: bool = False

  def __post_init__(self) -> None:
    check(self)
    if self.stages.restores and not self.stages.forges:
      families = ', '.join(f'forgery.{name}' for name in (*FAMILIES, 'mixtures'))
      raise InputError(
        f"train.generator_input is 'forged' but {families} are all off; switch one on"
      )
    if not self.trains and (self.score.needs_networks or self.stages.learned):
      raise InputError(
        'train.epochs is 0, so there are no networks to score with: set score.kind=map and '
        'score.map=density, or set train.epochs above 0'
      )
    self._check_head()

  def _check_head(self) -> None:
    """Checks that D's head has every output that the loss, the score and the density use."""
    terms = generator_terms(self.loss)
    of_images = [f'loss.{name}' for name in ('adversarial', 'latent') if terms[name].weight > 0]
    of_images += ['score.content_weight under 1'] if self.score.needs_latent else []
    if self.judges_pixels and self.trains and of_images:
      raise InputError(f"{of_images[0]} needs model.discriminator_head = 'image'")
    if not self.judges_pixels and self.stages.learned:
      raise InputError("density.channels=pixels needs model.discriminator_head = 'pixels'")
    if self.sees_deviations and not self.stages.fits_before_training:
      raise InputError('model.deviations needs a list of band statistics in density.channels')
    if self.judges_pixels and not self.stages.restores:
      raise InputError(
        "model.discriminator_head is 'pixels', which needs train.generator_input = 'forged'"
      )

  @functools.cached_property
  def stages(self) -> Stages:
    """The stages of the recipe."""
    return build_stages(
      trains=self.trains,
      generator_input=self.generator_input,
      deviations=self.sees_deviations,
      loss=self.loss,
      forgery=self.forgery,
      density=self.density,
      score=self.score,
    )

  @property
  def channels(self) -> int:
    """Channels of the uint8 input images."""
    return 4 if self.has_counts else 3

  @property
  def judges_pixels(self) -> bool:
    """Whether D is pixel-wise: one logit per pixel, not per image."""
    return isinstance(self.discriminator, PixelDiscriminator)

  @property
  def sees_deviations(self) -> bool:
    """Whether D takes the deviations from a density fitted before training."""
    return isinstance(self.discriminator, PixelDiscriminator) and self.discriminator.deviations

  @property
  def statistics(self) -> dict[str, int]:
    """All statistics available to a density, in order: name → number of channels."""
    return {**CHANNELS, **{name: self.discriminator.width for name in self.stages.learned}}
