"""A run's folder: checks whose it is, and writes and reads its config."""

import contextlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_collections

from ocrgan_jax.configs import default
from ocrgan_jax.core import sharding
from ocrgan_jax.core.checks import flat_fields
from ocrgan_jax.core.errors import Damaged, InputError
from ocrgan_jax.core.files import write_bytes, write_json
from ocrgan_jax.data.framing import Framing, framing_of, read_region, region_png
from ocrgan_jax.runs.ownership import LOCK

REGION = 'region.png'  # white where defects count

# May change when a run resumes: how long it trains, where the images are (they are compared by
# content) and how they are fetched.
CHANGEABLE = (
  'train.epochs',
  'train.steps',
  'train.keep_checkpoints',
  'train.pictures',
  'data_dir',
  'data.test_dir',
  'data.prepared_dir',
  'data.memory_gib',
  'data.workers',
)

# Settings that are gone, and the value at which each did nothing.
REMOVED: dict[str, Any] = {
  'forgery.validation': 'same',
  'forgery.copies': 1,
  'train.generator_input': 'normal',
  'train.warmup': 0,
  'train.decay': 'none',
  'train.clip': 0.0,
  'train.track': 'none',
}

# Settings that came later and whose default changes a run, and the value without effect.
ADDED = {'data.groups': 'none'}


def check(workdir: Path, config: ml_collections.ConfigDict) -> None:
  """Checks that a folder is free for a run, or already belongs to this run.

  Args:
    workdir: the run's folder; need not exist.
    config: the run's resolved config.

  Raises:
    InputError: if the folder is not writable, or holds anything but a run with this config.
  """
  existing = next(path for path in (workdir, *workdir.absolute().parents) if path.exists())
  if not existing.is_dir():
    raise InputError(f'{existing} is a file; --workdir must be a folder')
  if not os.access(existing, os.W_OK):
    raise InputError(f'cannot write to {existing}; use another --workdir')
  if (workdir / 'config.json').exists():
    saved, wanted = flat_fields(load_config(workdir)), flat_fields(config)
    changed = [
      name
      for name in sorted(saved.keys() | wanted.keys())
      if saved.get(name) != wanted.get(name) and name not in CHANGEABLE
    ]
    if changed:
      name = changed[0]
      raise InputError(
        f'{workdir} holds a run with another config ({name} is {saved.get(name)!r} there, '
        f'{wanted.get(name)!r} here, {len(changed)} field(s) differ); use another --workdir'
      )
  elif workdir.exists() and any(path.name != LOCK for path in workdir.iterdir()):
    raise InputError(f'{workdir} is not empty and holds no run; use another --workdir')


def check_training_set(workdir: Path, digests: list[str]) -> None:
  """Checks that an existing run was started on these training images.

  Args:
    workdir: the run's folder; may not hold a run yet.
    digests: digests of the pixels of the normal training images, including held-out ones.

  Raises:
    InputError: if the images have changed since the run started.
  """
  saved = training_set(workdir)
  if saved and saved != digests:
    raise InputError(
      f'the training images have changed since the run in {workdir} started '
      f'({describe_change(saved, digests)}); use another --workdir'
    )


def describe_change(saved: list[str], digests: list[str]) -> str:
  """Says how training images differ from those that a run started with.

  Args:
    saved: digests of the run's images, in order.
    digests: of the images now, in order.
  """
  then, now = Counter(saved), Counter(digests)
  gone, new = (then - now).total(), (now - then).total()
  if not gone and not new:
    return (
      f'the same {len(saved)} are in another order, as after renaming, and the order decides '
      'which are held out: give them their old names'
    )
  return f'{gone} of {len(saved)} then are gone, {new} of {len(digests)} now are new'


def training_set(workdir: Path) -> list[str]:
  """The digests of a run's training images; empty if the run has not started."""
  return _read_digests(workdir / 'training_set.json')


def shared_with_test(workdir: Path) -> list[str] | None:
  """The digests of training images that were also in the test set when the run started.

  Returns:
    The digests; None if unknown, for a run from an earlier version.
  """
  path = workdir / 'shared_with_test.json'
  return _read_digests(path) if path.exists() else None


def _read_digests(path: Path) -> list[str]:
  if not path.exists():
    return []
  digests = _read_json(path)
  if not isinstance(digests, list) or not all(isinstance(x, str) for x in digests):
    raise Damaged(f'{path} is damaged: it is not a list of digests; use another --workdir')
  return digests


def _read_json(path: Path) -> Any:
  try:
    return json.loads(path.read_text())
  except (OSError, ValueError) as error:
    raise Damaged(f'{path} is damaged: {error}; restore it, or use another --workdir') from None


def write_run_files(
  workdir: Path,
  config: ml_collections.ConfigDict,
  digests: list[str],
  shared: list[str],
  framing: Framing,
) -> None:
  """Writes a run's config and training set to its checked folder, and any `region.png`.

  Args:
    workdir: the run's folder.
    config: the run's resolved config.
    digests: digests of the normal training images.
    shared: those that are also in the test set.
    framing: with the region of interest, if any.
  """
  write_json(workdir / 'config.json', config.to_dict())
  if not (workdir / 'training_set.json').exists():  # the run is new
    write_json(workdir / 'shared_with_test.json', shared)
  write_json(workdir / 'training_set.json', digests)
  if framing.region is not None:
    write_bytes(workdir / REGION, region_png(framing.region))


@contextlib.contextmanager
def undone_on_failure(workdir: Path) -> Iterator[None]:
  """Removes what the body added to a folder if it fails: it adds all of a run or nothing."""
  before = {*workdir.glob('*')}  # none in a process whose disk lacks the folder
  try:
    yield
  except BaseException:
    for path in {*workdir.glob('*')} - before if sharding.is_first_process() else ():
      if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
      else:
        path.unlink(missing_ok=True)
    raise


def load_framing(workdir: Path, config: ml_collections.ConfigDict) -> Framing:
  """The framing of a run, with its region of interest if it has one."""
  path = workdir / REGION
  return framing_of(config, read_region(str(path)) if path.exists() else None)


def runs_in(workdir: Path) -> list[Path]:
  """The folders of all runs below a folder, sorted."""
  return sorted(path.parent for path in workdir.rglob('training_set.json'))


def load_config(workdir: Path) -> ml_collections.ConfigDict:
  """Reads the config of a run.

  Args:
    workdir: the run's folder.

  Returns:
    The resolved config. Fields that did not exist when the run started have their defaults, or
    the values of ADDED.

  Raises:
    InputError: if the folder holds no run, or its config has an unknown field.
    Damaged: if the config cannot be read.
  """
  path = workdir / 'config.json'
  if not path.is_file():
    if runs := runs_in(workdir):
      raise InputError(
        f'{workdir} holds {len(runs)} run{"s" * (len(runs) > 1)}, not one; give the folder of one: '
        f'{runs[0]}'
      )
    raise InputError(f'no run in {workdir} (it has no config.json); train one there first')
  config = default.get_config().copy_and_resolve_references()
  saved = _read_json(path)
  try:
    found = flat_fields(ml_collections.ConfigDict(saved))
  except (TypeError, ValueError, AttributeError):
    raise Damaged(f'{path} is damaged: it contains no settings; use another --workdir') from None
  fields = {**ADDED, **current_fields(found, path)}
  try:
    config.update_from_flattened_dict(fields)
  except (TypeError, ValueError) as error:
    reason = str(error).partition('\n')[0]
    raise Damaged(f'{path} is damaged: {reason}; restore it, or use another --workdir') from None
  return config


def current_fields(fields: dict[str, Any], path: Path) -> dict[str, Any]:
  """The settings that a run saved, without those that are gone.

  Args:
    fields: full name → value.
    path: the file that they come from.

  Returns:
    The others.

  Raises:
    InputError: if the run used one that is gone, or a field is unknown.
  """
  known = flat_fields(default.get_config())
  for name, value in fields.items():
    if name in REMOVED:
      if value != REMOVED[name] and name != 'train.track':
        raise InputError(
          f'{path}: {name} is {value!r}, and this version has no such setting; use the version '
          'that made this run, or train again'
        )
    elif name not in known:
      raise InputError(
        f'{path} has an unknown field {name!r}: another version of ocrgan_jax wrote it; '
        'use that version'
      )
  return {name: value for name, value in fields.items() if name in known}
