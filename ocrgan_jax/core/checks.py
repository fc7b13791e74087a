"""Bounds of settings, declared next to the fields they apply to.

A settings type is a frozen dataclass for one section of the config. Defaults are in
`configs/default.py`; bounds are declared like this:

  @dataclasses.dataclass(frozen=True, kw_only=True)
  class Loss:
    content: float = at_least(0)

    def __post_init__(self) -> None:
      check(self, 'loss')
"""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import ml_collections

from ocrgan_jax.core.errors import InputError

Settings = TypeVar('Settings')
# Maps a value to '' if it is allowed, else to the rule it breaks.
Bound = Callable[[Any], str]


def at_least(least: float) -> Any:
  """A field with a lower bound."""
  return _bounded(lambda value: '' if value >= least else f'it must be at least {least}')


def between(low: float, high: float) -> Any:
  """A field with a lower and an upper bound, both inclusive."""
  return _bounded(
    lambda value: '' if low <= value <= high else f'it must lie between {low} and {high}'
  )


def one_of(*known: str, name: str = '') -> Any:
  """A field with fixed choices; `name` overrides the name `section.field` in messages."""
  return _bounded(one_of_bound(*known), name)


def one_of_bound(*known: str) -> Bound:
  """The bound for a fixed list of choices."""
  return lambda value: '' if value in known else f'it must be one of {", ".join(known)}'


def seed() -> Any:
  """A field that seeds random draws."""
  return _bounded(seed_bound)


def seed_bound(value: int) -> str:
  """The bound for seeds, which JAX takes as 32-bit integers."""
  if value < 0:
    return 'it must be at least 0'
  return '' if value < 2**31 else 'it must be under 2**31'


def bounded_by(bound: Bound) -> Any:
  """A field with a bound of its own."""
  return _bounded(bound)


def power_of_two(least: int) -> Any:
  """A field that must be a power of two."""
  examples = ', '.join(str(least << i) for i in range(3))
  return _bounded(
    lambda value: (
      ''
      if value >= least and not value & (value - 1)
      else f'it must be a power of two from {least}: {examples}, …'
    )
  )


def _bounded(bound: Bound, name: str = '') -> Any:
  return dataclasses.field(metadata={'bound': bound, 'name': name})


def check(settings: Any, section: str = '') -> None:
  """Checks every field of a settings instance against its bound.

  Args:
    settings: the dataclass instance.
    section: its section of the config, for the message.

  Raises:
    InputError: names the first field that is out of bounds, and its bound.
  """
  for field in dataclasses.fields(settings):
    if 'bound' in field.metadata:
      name = field.metadata['name'] or '.'.join(filter(None, (section, field.name)))
      require(name, getattr(settings, field.name), field.metadata['bound'])


def require(name: str, value: Any, bound: Bound) -> None:
  """Checks one value.

  Raises:
    InputError: if it is out of bounds.
  """
  problem = bound(value)
  if problem:
    raise InputError(f'{name} is {value!r}; {problem}')


def read(settings_type: type[Settings], section: ml_collections.ConfigDict) -> Settings:
  """Builds a settings type from a section of the config; the section may have more fields.

  Raises:
    InputError: if a field is out of bounds.
  """
  names = [field.name for field in dataclasses.fields(settings_type)]  # type: ignore[arg-type]
  return settings_type(**{name: section[name] for name in names})


def flat_fields(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """All fields of a config by full name, e.g. `train.epochs`."""
  fields: dict[str, Any] = {}
  for name, value in config.items():
    if isinstance(value, ml_collections.ConfigDict):
      fields |= {f'{name}.{key}': inner for key, inner in flat_fields(value).items()}
    else:
      fields[name] = value
  return fields
