"""The config's section `data`."""

import dataclasses

from ocrgan_jax.core.checks import at_least, between, bounded_by, check, one_of, seed
from ocrgan_jax.data.framing import FITS
from ocrgan_jax.data.group_rules import check_rule


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSettings:
  """Which dataset to use, and how to split and read it; fields as in `configs/default.py`.

  A dataset with settings of its own reads a subclass with these fields; see `Elpv`.

  Raises:
    InputError: if a field is out of bounds.
  """

  dataset: str
  category: str
  validation_share: float = between(0, 1)
  train_share: float = between(0, 1)
  split_seed: int = seed()
  groups: str = bounded_by(check_rule)
  test_dir: str
  prepared_dir: str
  skip_damaged: bool
  max_megapixels: float = at_least(0)
  memory_gib: float = at_least(0)
  workers: int = at_least(0)
  thumbnails: bool
  fit: str = one_of(*FITS)
  tile: int = at_least(0)
  overlap: float = between(0, 0.9)
  region: str

  def __post_init__(self) -> None:
    check(self, 'data')
