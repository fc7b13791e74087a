"""Which images show the same part, by the config's `data.groups`.

'twins': images that look like the same part (`grouping.py`); 'none': each image is a group; the
path of a CSV table of path and group; 'exif:SECONDS': photographs taken within so many seconds of
the one before; or a regular expression for an image's path, whose first parenthesis (or whole
match) is the group.
"""

import csv
import io
import re
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path

import numpy as np

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import absolute, user_path
from ocrgan_jax.data.decoding import date_taken
from ocrgan_jax.data.examples import Example

TWINS, NONE, EXIF, TABLE = 'twins', 'none', 'exif:', '.csv'


def check_rule(rule: str) -> str:
  """What is wrong with a `data.groups`, or ''."""
  if rule in (TWINS, NONE) or rule.endswith(TABLE):
    return ''
  if rule.startswith(EXIF):
    try:
      return '' if float(rule.removeprefix(EXIF)) >= 0 else 'the seconds must be at least 0'
    except ValueError:
      return f'after {EXIF} it takes seconds, as in {EXIF}2'
  try:
    re.compile(rule)
  except re.error as error:
    return f'it is no regular expression ({error})'
  return '' if rule else f"it must be '{TWINS}', '{NONE}', a CSV file or a regular expression"


def with_absolute_table(rule: str) -> str:
  """A `data.groups` whose CSV table, if it names one, has an absolute path."""
  return absolute(rule) if rule.endswith(TABLE) else rule


def read_groups(rule: str, examples: Sequence[Example]) -> np.ndarray:
  """The group of each image by the user's rule, any but 'twins'.

  Returns:
    int [images], numbered from 0 in the order of the images.

  Raises:
    InputError: if the rule matches no image, a table names images that do not exist or leaves
      some out, a photograph has no date, or all images are one group.
  """
  if rule == NONE:
    return np.arange(len(examples))
  if rule.endswith(TABLE):
    keys: Sequence[Hashable] = _from_table(user_path(rule), examples)
  elif rule.startswith(EXIF):
    keys = _from_dates(float(rule.removeprefix(EXIF)), examples)
  else:
    keys = _from_names(rule, examples)
  groups = numbered(keys)
  if len(groups) > 1 and not groups.any():
    raise InputError(
      f'data.groups = {rule!r} puts all {len(keys)} images into one group, so none can be held '
      'out; give a rule that tells parts apart'
    )
  return groups


def numbered(keys: Iterable[Hashable]) -> np.ndarray:
  """Numbers keys from 0 in the order in which they first appear: int [keys]."""
  numbers: dict[Hashable, int] = {}
  return np.array([numbers.setdefault(key, len(numbers)) for key in keys], int)


def _from_names(rule: str, examples: Sequence[Example]) -> list[str]:
  """An image that the expression does not match is a group by itself."""
  found = [re.search(rule, example.name) for example in examples]
  if not any(found):
    raise InputError(f'data.groups = {rule!r} matches no image; the first is {examples[0].name!r}')
  return [
    f'match {match[1] if match.re.groups else match[0]}' if match else f'alone {example.name}'
    for match, example in zip(found, examples, strict=True)
  ]


def _from_table(path: Path, examples: Sequence[Example]) -> list[str]:
  rows = _read_table(path)
  groups = {name: group for name, group in rows if (name, group) != ('path', 'group')}
  names = {example.name for example in examples}
  unknown = [name for name in groups if name not in names]
  if unknown:
    raise InputError(
      f'data.groups = {path} names {len(unknown)} image(s) that do not exist, {unknown[0]!r} the '
      f'first; paths are like {examples[0].name!r}'
    )
  missing = [example.name for example in examples if example.name not in groups]
  if missing:
    raise InputError(
      f'data.groups = {path} lacks {len(missing)} image(s), {missing[0]!r} the first'
    )
  return [groups[example.name] for example in examples]


def _read_table(path: Path) -> list[list[str]]:
  """The lines of a CSV table, each a path and a group."""
  try:
    rows = [row for row in csv.reader(io.StringIO(path.read_text())) if row]
  except (OSError, ValueError, csv.Error) as error:
    reason = error.strerror if isinstance(error, OSError) else error
    raise InputError(f'cannot read data.groups = {path}: {reason}') from None
  if any(len(row) != 2 for row in rows):
    raise InputError(f'data.groups = {path}: each line must be path,group')
  return rows


def _from_dates(seconds: float, examples: Sequence[Example]) -> list[int]:
  """A group ends where the next photograph, in order of time, was taken later than that."""
  times = np.array([_date_taken(example) for example in examples])
  order = np.argsort(times, kind='stable')
  groups = np.zeros(len(times), int)
  groups[order[1:]] = np.cumsum(np.diff(times[order]) > seconds)
  return groups.tolist()


def _date_taken(example: Example) -> float:
  try:
    return date_taken(example.read())
  except (OSError, ValueError, KeyError):
    raise InputError(
      f'{example.name} has no date in its EXIF data, which data.groups = exif:… needs'
    ) from None
