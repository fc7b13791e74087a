"""A run's folder: whose it is, and its config."""

import json
from pathlib import Path

import ml_collections

from ocrgan_jax.errors import InputError
from ocrgan_jax.writer import write_json

# What may change when a run is taken up again: how long it shall train.
CHANGEABLE = ('train.epochs',)


def check(workdir: Path, config: ml_collections.ConfigDict) -> None:
  """Checks that a folder is free for a run, or is this run's already.

  Args:
    workdir: need not exist.
    config: the run's resolved config.

  Raises:
    InputError: if the folder is not empty and not of a run with this config.
  """
  path = workdir / 'config.json'
  if workdir.exists() and not workdir.is_dir():
    raise InputError(f'{workdir} is a file; --workdir must be a folder')
  if path.exists():
    saved, wanted = _flat(load_config(workdir)), _flat(config)
    changed = [
      name
      for name in sorted(saved.keys() | wanted.keys())
      if saved.get(name) != wanted.get(name) and name not in CHANGEABLE
    ]
    if changed:
      name = changed[0]
      raise InputError(
        f'{workdir} holds a run of another config ({name} is {saved.get(name)!r} there, '
        f'{wanted.get(name)!r} here, {len(changed)} field(s) differ); use another --workdir'
      )
  elif workdir.exists() and any(workdir.iterdir()):
    raise InputError(f'{workdir} is not empty and holds no run; use another --workdir')


def claim(workdir: Path, config: ml_collections.ConfigDict) -> None:
  """Makes a checked folder the run's: writes `config.json` into it."""
  write_json(workdir / 'config.json', config.to_dict())


def load_config(workdir: Path) -> ml_collections.ConfigDict:
  """Reads the config of a run.

  Args:
    workdir: the run's folder.

  Returns:
    The resolved config.

  Raises:
    InputError: if the folder holds no run.
  """
  path = workdir / 'config.json'
  if not path.is_file():
    raise InputError(f'no run in {workdir} (it has no config.json); train one with --workdir')
  return ml_collections.ConfigDict(json.loads(path.read_text()))


def _flat(config: ml_collections.ConfigDict) -> dict[str, object]:
  fields: dict[str, object] = {}
  for name, value in config.items():
    if isinstance(value, ml_collections.ConfigDict):
      fields |= {f'{name}.{key}': inner for key, inner in _flat(value).items()}
    else:
      fields[name] = value
  return fields
