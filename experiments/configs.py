"""The configs of experiments: a config file by name, a recipe, and changed fields."""

import ast
import importlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import ml_collections

from ocrgan_jax.configs import default
from ocrgan_jax.core.checks import flat_fields
from ocrgan_jax.core.errors import InputError

# Settings just large enough to exercise the code.
QUICK: dict[str, Any] = {
  'data.groups': 'none',
  'image_size': 32,
  'model.width': 2,
  'model.discriminator_width': 4,
  'train.epochs': 1,
  'train.steps': 3,
  'train.batch_size': 8,
  'train.checkpoint_every': 1,
}
# The development sets: name → config file, category, folder in `--data_dir`.
SETS = {
  'bottle': ('mvtec', 'bottle', 'mvtec_ad'),
  'dagm': ('dagm', 'Class1', 'dagm'),
  'elpv': ('elpv', 'mono', ''),
  'tile': ('magnetic_tile', '', 'magnetic_tile'),
  'kolektor': ('folder', '', 'kolektor_sdd_full'),
  'casting': ('folder', '', 'casting'),
  'ball_screw': ('folder', '', 'ball_screw'),
  'cookie': ('folder', '', 'cookie'),
}
# Sets that nothing is developed on.
OTHERS = {
  'screw': ('mvtec', 'screw', 'mvtec_ad'),
  'kolektor_items': ('kolektor', '', 'kolektor_sdd'),
}
# The fields that have flags of their own, so `--override` refuses them.
WITH_FLAGS = ('seed', 'data_dir', 'data.dataset', 'data.category')


def config_of(
  name: str, category: str, recipe: str, fields: dict[str, Any] | None = None
) -> ml_collections.ConfigDict:
  """Builds the config of a run, with its references resolved.

  Args:
    name: a file in `configs/`, without `.py`.
    category: of its dataset; may be ''.
    recipe: a recipe.
    fields: fields to change. As on the command line, D follows G's `model.width`.

  Returns:
    The config.

  Raises:
    InputError: if there is no such category.
  """
  module = importlib.import_module(f'ocrgan_jax.configs.{name}')
  try:
    config = module.get_config(','.join(filter(None, (category, recipe))))
  except ValueError as error:
    raise InputError(str(error)) from None
  config.update_from_flattened_dict(fields or {})
  return ml_collections.ConfigDict(config.copy_and_resolve_references())


def config_of_set(
  name: str, data_dir: str, recipe: str, fields: dict[str, Any] | None = None
) -> ml_collections.ConfigDict:
  """Builds the config of a run on one of SETS or OTHERS, whose folders are in `data_dir`."""
  file, category, folder = (SETS | OTHERS)[name]
  own = str(Path(data_dir, folder)) if folder else ''
  return config_of(file, category, recipe, {'data_dir': own, **(fields or {})})


def check_known(flag: str, names: Sequence[str], known: Collection[str]) -> None:
  """Raises an InputError if a name that a flag gives is not known."""
  if unknown := [name for name in names if name not in known]:
    raise InputError(f'--{flag}: there is no {unknown[0]!r}; there are {", ".join(known)}')


def parse_overrides(texts: Sequence[str]) -> dict[str, Any]:
  """Parses the values of `--override=field=value`.

  Args:
    texts: the values, each as 'field=value'.

  Returns:
    field → parsed value.

  Raises:
    InputError: if a field is unknown or in WITH_FLAGS, or its value has the wrong type.
  """
  known, found = flat_fields(default.get_config()), {}
  for text in texts:
    name, _, value = text.partition('=')
    if name not in known:
      raise InputError(f'--override={text}: there is no field {name!r}; see configs/default.py')
    if name in WITH_FLAGS:
      raise InputError(f'--override={text}: use --seeds, --categories and --data_dir instead')
    kind = type(known[name])
    try:
      parsed = value if kind is str else ast.literal_eval(value)
    except (ValueError, SyntaxError):
      parsed = value
    if kind is float and type(parsed) is int:
      parsed = float(parsed)
    if known[name] is not None and type(parsed) is not kind:
      raise InputError(f'--override={text}: {value!r} is no {kind.__name__}')
    found[name] = parsed
  return found
