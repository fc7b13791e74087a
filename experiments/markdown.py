"""Tables in Markdown, and the numbers in them."""

from collections.abc import Iterable, Sequence

import numpy as np


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
  """The lines of a table from its head and the cells of its lines."""
  line = lambda cells: '|' + '|'.join(f' {cell} ' if cell else ' ' for cell in cells) + '|'
  return [line(head), '|---' * len(head) + '|', *map(line, lines)]


def number(value: float | None) -> str:
  """A number with three digits; '–' for none."""
  return '–' if value is None else f'{value:.3f}'


def mean(values: Sequence[float | None]) -> float | None:
  """The mean; none if there are no values, or one is missing."""
  known = [value for value in values if value is not None]
  return float(np.mean(known)) if known and len(known) == len(values) else None
