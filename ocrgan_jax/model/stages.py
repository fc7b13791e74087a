"""What a recipe does, stage by stage, decided once from its settings."""

from typing import NamedTuple

from ocrgan_jax.density.gaussian import Density
from ocrgan_jax.forging.cutpaste import Forgery
from ocrgan_jax.optimization.losses import Loss, generator_terms
from ocrgan_jax.scoring.anomaly_score import Score


class Stages(NamedTuple):
  """The stages of a recipe, in their order.

  Attributes:
    forges: whether training images are forged (III-D).
    restores: whether G is given the forged images, to be restored to the normal ones.
    fits_before: lists of band statistics. A density of each is fitted before the first step,
      and D is given the deviations from it.
    trains_discriminator: whether D is trained: only if G's loss or the score uses it.
    fits: lists of statistics. A density of each is fitted to every checkpoint, and scores with
      those of `fits_before`. None if the score uses no density.
    learned: the statistics in `fits` that come from the networks.
    validates_by_forgeries: whether held-out images have forged copies to be told from.
    scores: 'eq13' or 'map'.
  """

  forges: bool
  restores: bool
  fits_before: tuple[str, ...]
  trains_discriminator: bool
  fits: tuple[str, ...] | None
  learned: tuple[str, ...]
  validates_by_forgeries: bool
  scores: str


def stages_of(
  *,
  trains: bool,
  generator_input: str,
  deviations: bool,
  loss: Loss,
  forgery: Forgery,
  density: Density,
  score: Score,
) -> Stages:
  """The stages of a recipe.

  Args:
    trains: whether networks are trained.
    generator_input: 'normal' or 'forged'.
    deviations: whether D is given the deviations from a density.
    loss: of G and D.
    forgery: of training and validation.
    density: of normal images.
    score: of an image.

  Returns:
    The stages.
  """
  terms = generator_terms(loss).values()
  loss_uses_it = any(term.needs_discriminator for term in terms if term.weight > 0)
  learned = density.learned if score.needs_density else ()
  fits = density.lists_of_networks if deviations else density.lists
  return Stages(
    forges=not forgery.is_off,
    restores=generator_input == 'forged',
    fits_before=density.lists_of_bands if deviations else (),
    trains_discriminator=trains and (loss_uses_it or score.needs_latent or bool(learned)),
    fits=fits if score.needs_density else None,
    learned=learned,
    validates_by_forgeries=not forgery.is_off or forgery.validation == 'unseen',
    scores=score.kind,
  )
