"""The static description of a model of the recipe `bands`: heads over band statistics."""

import dataclasses
from typing import ClassVar

from ocrgan_jax.core.checks import check, power_of_two
from ocrgan_jax.scoring.anomaly_score import Score


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bands:
  """Everything about such a model that never changes: hashable, without arrays.

  Attributes:
    trains: whether networks are trained.
    image_size: side of the images in pixels.
    score: which heads are on, and how the threshold is set.
    has_valid: whether images have a fourth channel, 255 where a pixel counts.

  Raises:
    InputError: if a field is out of bounds.
  """

  trains: ClassVar[bool] = False
  image_size: int = power_of_two(32)
  score: Score
  has_valid: bool = False

  def __post_init__(self) -> None:
    check(self)

  @property
  def channels(self) -> int:
    """Channels of the uint8 input images."""
    return 4 if self.has_valid else 3
