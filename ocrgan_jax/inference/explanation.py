"""Says in words why a photograph has its score: what was seen, and where."""

from typing import NamedTuple

import numpy as np

from ocrgan_jax.heads.maps import DESCRIPTIONS

THIRDS = (
  ('upper left', 'top', 'upper right'),
  ('left', 'centre', 'right'),
  ('lower left', 'bottom', 'lower right'),
)
MOST = 0.5  # a larger share of the photograph is not one place
SIDE = 256  # length of the longer side of the map on which places are looked for; pixels


class Explanation(NamedTuple):
  """Why a photograph has its score.

  Attributes:
    reason: what the most surprised head sees, see `heads.maps.DESCRIPTIONS`; '' if the score does
      not come from heads.
    place: where the photograph is most unusual, e.g. 'upper left', and how much of its area is
      over the limit, if any is.
  """

  reason: str
  place: str


def reason_of(heads: tuple[str, ...], surprises: np.ndarray) -> str:
  """Describes what the most surprised head sees; '' without heads.

  Args:
    heads: their names.
    surprises: -log p by each head for each image of the photograph, float [images, heads].
  """
  return DESCRIPTIONS[heads[int(surprises.max(0).argmax())]] if heads else ''


def how_unusual(score: float, others: np.ndarray, compared_with: str) -> str:
  """Says how unusual a score is among those of sound photographs; '' if there are none.

  Args:
    score: of the photograph.
    others: of the sound photographs, float [photographs].
    compared_with: the name of the sound photographs, `Scorer.compared_with`.
  """
  count, higher = len(others), int((others >= score).sum())
  if not count:
    return ''
  if not higher:
    return f'more unusual than all {count} {compared_with}'
  if 2 * higher > count:
    return f'no more unusual than most of the {count} {compared_with}'
  return f'more unusual than all but 1 in {round(count / higher)} {compared_with}'


def place_of(whole: np.ndarray, limit: float) -> str:
  """Says where a map is highest.

  Args:
    whole: the anomaly map over the whole photograph, float [height, width].
    limit: the value above which a place is anomalous.
  """
  share = float((whole > limit).mean())
  if share > MOST:
    return f'{share:.0%} of the area'
  y, x = np.unravel_index(int(whole.argmax()), whole.shape)
  name = THIRDS[3 * int(y) // whole.shape[0]][3 * int(x) // whole.shape[1]]
  if not share:
    return name
  return f'{name}, {share:.1%} of the area' if share >= 0.001 else f'{name}, under 0.1% of the area'
