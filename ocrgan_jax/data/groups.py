"""Groups of images that show the same part; whatever is held out is held out by group.

The config's `data.groups` says where they come from: 'twins', images that look like the same part
(`grouping.py`); 'none', each image is a group; the path of a CSV table of path and group;
'exif:SECONDS', photographs taken within so many seconds of the one before; or a regular expression
for an image's path, whose first parenthesis (or whole match) is the group.
"""

import csv
import datetime
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import absolute, user_path
from ocrgan_jax.data.examples import Example

TWINS, NONE, EXIF, TABLE = 'twins', 'none', 'exif:', '.csv'
EXIF_IFD, DATE_TAKEN, SUBSECONDS = 0x8769, 0x9003, 0x9291


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
  """The groups that the user's rule gives, one for each image.

  Args:
    rule: the config's `data.groups`, but not 'twins'.
    examples: the images.

  Returns:
    int [images], numbered from 0 in the order of the images.

  Raises:
    InputError: if the rule matches no image, a table names images that do not exist or leaves
      some out, a photograph has no date, or all images are one group.
  """
  if rule == NONE:
    return np.arange(len(examples))
  if rule.endswith(TABLE):
    keys = _from_table(user_path(rule), examples)
  elif rule.startswith(EXIF):
    keys = _from_dates(float(rule.removeprefix(EXIF)), examples)
  else:
    keys = _from_names(rule, examples)
  numbers = {key: i for i, key in enumerate(dict.fromkeys(keys))}
  if len(numbers) == 1 and len(keys) > 1:
    raise InputError(
      f'data.groups = {rule!r} puts all {len(keys)} images into one group, so none can be held '
      'out; give a rule that tells parts apart'
    )
  return np.array([numbers[key] for key in keys], int)


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
  try:
    rows = [row for row in csv.reader(io.StringIO(path.read_text())) if row]
  except (OSError, ValueError, csv.Error) as error:
    reason = error.strerror if isinstance(error, OSError) else error
    raise InputError(f'cannot read data.groups = {path}: {reason}') from None
  if any(len(row) != 2 for row in rows):
    raise InputError(f'data.groups = {path}: each line must be path,group')
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


def _from_dates(seconds: float, examples: Sequence[Example]) -> list[str]:
  """A group ends where the next photograph, in order of time, was taken later than that."""
  times = [_date_taken(example) for example in examples]
  order = sorted(range(len(times)), key=lambda i: times[i])
  keys, group = [''] * len(times), 0
  for before, i in zip([order[0], *order], order, strict=False):
    group += times[i] - times[before] > seconds
    keys[i] = str(group)
  return keys


def _date_taken(example: Example) -> float:
  """When a photograph was taken, in seconds."""
  try:
    fields = Image.open(io.BytesIO(example.read())).getexif().get_ifd(EXIF_IFD)
    taken = datetime.datetime.strptime(str(fields[DATE_TAKEN]), '%Y:%m:%d %H:%M:%S')
    fraction = str(fields.get(SUBSECONDS, '')).strip()
    return taken.replace(tzinfo=datetime.UTC).timestamp() + float(f'0.{fraction or 0}')
  except (OSError, ValueError, KeyError):
    raise InputError(
      f'{example.name} has no date in its EXIF data, which data.groups = exif:… needs'
    ) from None


def take_groups(groups: np.ndarray, count: int, seed: int) -> np.ndarray:
  """Draws whole groups at random until they have so many images.

  Args:
    groups: int [images].
    count: of images. The last group is taken if that comes nearer to it.
    seed: the same seed draws the same.

  Returns:
    bool [images], which are drawn: at least one group, and never all of several.
  """
  names, sizes = np.unique(groups, return_counts=True)
  order = np.random.default_rng(seed).permutation(len(names))
  total = np.cumsum(sizes[order])
  taken = int(np.abs(total - count).argmin()) + 1
  taken = max(1, min(taken, len(names) - 1))
  return np.isin(groups, names[order[:taken]])
