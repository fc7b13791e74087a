"""The config of an experiment's run: a config file by name, a recipe, and changed fields."""

import ast
import importlib
from collections.abc import Sequence
from typing import Any

import ml_collections

from ocrgan_jax.core import command_line
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
  'train.warmup': 0,
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
    InputError: if there is no such file or category.
  """
  if name not in command_line.CONFIG_NAMES:
    known = ', '.join(command_line.CONFIG_NAMES)
    raise InputError(f'there is no config {name!r}; there are {known}')
  module = importlib.import_module(f'ocrgan_jax.configs.{name}')
  try:
    config = module.get_config(','.join(filter(None, (category, recipe))))
  except ValueError as error:
    raise InputError(str(error)) from None
  config.update_from_flattened_dict(fields or {})
  return ml_collections.ConfigDict(config.copy_and_resolve_references())


def parse_overrides(texts: Sequence[str], config: ml_collections.ConfigDict) -> dict[str, Any]:
  """Parses the values of `--override=field=value`.

  Args:
    texts: the values, each as 'field=value'.
    config: any config; it gives the known fields and their types.

  Returns:
    field → parsed value.

  Raises:
    InputError: if a field is unknown or in WITH_FLAGS, or its value has the wrong type.
  """
  known, found = flat_fields(config), {}
  for text in texts:
    name, _, value = text.partition('=')
    if name not in known:
      raise InputError(f'--override={text}: there is no field {name!r}; see configs/default.py')
    if name in WITH_FLAGS:
      raise InputError(f'--override={text}: use --seeds, --categories and --data_dir instead')
    try:
      parsed = value if isinstance(known[name], str) else ast.literal_eval(value)
      if isinstance(known[name], float) and type(parsed) is int:
        parsed = float(parsed)
      if known[name] is not None and type(parsed) is not type(known[name]):
        raise ValueError
      found[name] = parsed
    except (ValueError, SyntaxError):
      kind = type(known[name]).__name__
      raise InputError(f'--override={text}: {value!r} is no {kind}') from None
  return found
