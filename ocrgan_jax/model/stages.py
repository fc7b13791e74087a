"""The stages of a recipe: what it forges, trains, fits and scores.

A recipe is a preset of the config, as `paper` or `restore`. Its stages are decided here, once.
"""

from typing import NamedTuple

from ocrgan_jax.density.gaussian import Density
from ocrgan_jax.forging.cutpaste import Forgery
from ocrgan_jax.optimization.losses import Loss, generator_terms
from ocrgan_jax.scoring.anomaly_score import Score


class Stages(NamedTuple):
  """The stages of a recipe, in order.

  Attributes:
    forges: whether training images are forged (III-D).
    restores: whether G restores forged images to the normal ones.
    fits_before_training: lists of band statistics. Before the first step a density is fitted to
      each list, and D sees how far images are from it.
    trains_discriminator: whether D is trained. It is not if neither G's loss nor the score uses it.
    fits: lists of statistics. At every checkpoint a density is fitted to each list. It scores
      together with those of `fits_before_training`. None if the score uses no density.
    learned: the statistics in `fits` that come from networks.
    validates_on_forgeries: whether validation compares held-out images with forged copies.
    scores: 'eq13' or 'map'.
  """

  forges: bool
  restores: bool
  fits_before_training: tuple[str, ...]
  trains_discriminator: bool
  fits: tuple[str, ...] | None
  learned: tuple[str, ...]
  validates_on_forgeries: bool
  scores: str


def build_stages(
  *,
  trains: bool,
  generator_input: str,
  deviations: bool,
  loss: Loss,
  forgery: Forgery,
  density: Density,
  score: Score,
) -> Stages:
  """Decides the stages of a recipe.

  Args:
    trains: whether networks are trained.
    generator_input: 'normal' or 'forged'.
    deviations: whether D takes the deviations from a density.
    loss: of G and D.
    forgery: of training and validation.
    density: of normal images.
    score: how images are scored.

  Returns:
    The stages.
  """
  terms = generator_terms(loss).values()
  loss_uses_it = any(term.needs_discriminator for term in terms if term.weight > 0)
  learned = density.learned if score.needs_density else ()
  fits = density.network_lists if deviations else density.lists
  return Stages(
    forges=not forgery.is_off,
    restores=generator_input == 'forged',
    fits_before_training=density.band_lists if deviations else (),
    trains_discriminator=trains and (loss_uses_it or score.needs_latent or bool(learned)),
    fits=fits if score.needs_density else None,
    learned=learned,
    validates_on_forgeries=not forgery.is_off or forgery.validation == 'unseen',
    scores=score.kind,
  )
