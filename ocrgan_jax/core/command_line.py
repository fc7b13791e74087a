"""Starts the commands, and reports anything the user can fix in one line."""

import errno
import io
import os
import re
import signal
import sys
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path

import jax
from absl import app, flags, logging
from ml_collections import config_flags

import ocrgan_jax
from ocrgan_jax.configs import default
from ocrgan_jax.core.cache import user_cache
from ocrgan_jax.core.errors import InputError, is_disk_full, is_out_of_memory
from ocrgan_jax.core.signals import (
  Interrupted,
  arrived,
  exit_on_signals,
  leave,
  raise_on_signals,
)

# What absl says of a value of the wrong type, and what to say instead.
WRONG_VALUES = {
  'invalid literal for int': 'it must be a whole number',
  'could not convert string to float': 'it must be a number',
  "('Non-boolean argument": 'it must be True or False',
  'Failed to parse': 'it is a section of the config; set one of its fields',
}

EXAMPLES = {'config': 'mvtec:bottle', 'workdir': 'runs/bottle'}
CONFIGS = Path(ocrgan_jax.__file__).parent / 'configs'
CONFIG_NAMES = sorted(path.stem for path in CONFIGS.glob('*.py') if path.stem != 'default')


def run(main: Callable[..., int | None], *, takes_arguments: bool = False) -> None:
  """Parses absl flags and runs a command.

  An InputError, a wrong flag, a faulty config file or an interrupt ends it with one line on stderr
  and a non-zero status. Any other exception is a bug and keeps its traceback.

  Args:
    main: the command; returns the exit status.
    takes_arguments: whether `main` takes a list of the non-flag arguments.
  """

  def call(arguments: list[str]) -> int | None:
    if takes_arguments:
      return main(arguments[1:])
    if len(arguments) > 1:
      raise InputError(f'unexpected argument {arguments[1]!r}: flags start with --; see --help')
    return main()

  exit_on_signals()
  # Names of files may be invalid text, and terminals may lack a letter.
  if isinstance(sys.stdout, io.TextIOWrapper):
    sys.stdout.reconfigure(errors='backslashreplace')
  _list_in_help()
  app.run(lambda arguments: _guarded(lambda: call(arguments)), flags_parser=_parse)


def _list_in_help() -> None:
  """Includes flags that other modules define in the command's --help."""
  for module, found in flags.FLAGS.flags_by_module_dict().items():
    if module.startswith(('ocrgan_jax.', 'experiments.')):
      for flag in found:
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)


def define_run_flags() -> None:
  """Defines `--workdir` and `--protocol`, for commands that use a finished run."""
  flags.DEFINE_string('workdir', None, 'folder of the run')
  flags.DEFINE_string('protocol', 'last', "checkpoint: 'last' or 'validation'")
  flags.mark_flag_as_required('workdir')


def define_score_flags() -> None:
  """Defines `--score.…` flags for the fields of the config's section `score`."""
  score = default.get_config().score
  try:  # ml_collections already looks for --score.… on the command line here
    config_flags.DEFINE_config_dict('score', score, 'fields of score to change', lock_config=True)
  except AttributeError:
    sys.exit(f'error: --score has no such field; its fields are {", ".join(sorted(score))}')


def parse_ints(flag: str, texts: list[str]) -> list[int]:
  """Parses the values of a list flag as whole numbers.

  Raises:
    InputError: if a value is not a whole number.
  """
  if not all(text.isdecimal() for text in texts):
    raise InputError(f'--{flag}={",".join(texts)}: pass whole numbers, e.g. --{flag}=0,1,2')
  return [int(text) for text in texts]


def refuse_duplicates(flag: str, values: list[str]) -> None:
  """Checks that the values of a list flag are distinct.

  Raises:
    InputError: names the first duplicate.
  """
  for i, value in enumerate(values):
    if value in values[:i]:
      raise InputError(f'--{flag} names {value} twice')


def _guarded(main: Callable[[], int | None]) -> int | None:
  if not flags.FLAGS['verbosity'].present:
    logging.set_verbosity(logging.WARNING)  # orbax logs every step at INFO
  cache = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
  if cache is None:  # not set by the user
    jax.config.update('jax_compilation_cache_dir', str(user_cache() / 'compiled'))
  try:
    raise_on_signals()
    status = _one_line(main)
    exit_on_signals()
    return status
  except (KeyboardInterrupt, Interrupted) as stopped:
    number = stopped.number if isinstance(stopped, Interrupted) else signal.SIGINT
    return _stop(number, str(stopped) or 'stopped')
  except Exception:
    if not arrived():
      raise
    return _stop(arrived(), 'stopped')  # the signal broke what it interrupted


def _one_line(main: Callable[[], int | None]) -> int | None:
  """Runs a command, and reports in one line what its user can change."""
  try:
    return main()
  except InputError as error:
    return _fail(str(error))
  except OSError as error:
    if not is_disk_full(error):
      raise
    if error.errno == errno.EROFS:
      return _fail(f'{error}: write to another folder, with --output or --workdir')
    return _fail(f'{error}: free some space and run the same command again')
  except jax.errors.JaxRuntimeError as error:
    if not is_out_of_memory(error):
      raise
    reason = str(error).strip().partition('\n')[0]
    return _fail(f'{reason}: lower the batch, model.width or image_size')


def _stop(number: int, message: str) -> int:
  """Ends a command that a signal stopped; returns the status if other processes still need us."""
  print(f'\n{message}', file=sys.stderr)
  if not jax.distributed.is_initialized():
    leave(128 + number)
  return 128 + number


def _with_home(argument: str) -> str:
  """Expands `~/…` in an argument, also after `--flag=`, where the shell leaves it."""
  flag, equals, value = argument.partition('=') if argument.startswith('-') else ('', '', argument)
  return flag + equals + os.path.expanduser(value) if re.match('~[^/]*/|~$', value) else argument


def resolve_paths(arguments: list[str]) -> list[str]:
  """Expands `~/…`, and replaces a config given by name with its path."""
  found, before = [], '--?config='
  for argument in map(_with_home, arguments):
    named = re.fullmatch(f'({before})({"|".join(CONFIG_NAMES)})(:.*)?', argument)
    if named and not Path(named[2]).is_file():
      argument = f'{named[1]}{CONFIGS / named[2]}.py{named[3] or ""}'
    found.append(argument)
    before = '' if argument in ('--config', '-config') else '--?config='
  return found


def _parse(arguments: list[str]) -> list[str]:
  logging.set_verbosity(logging.ERROR)  # ml_collections warns of what becomes an error here
  try:
    rest = flags.FLAGS(resolve_paths(arguments))
    # A config file that fails to load raises its error only on first use.
    for name in flags.FLAGS:
      getattr(flags.FLAGS, name)
    if 'config' in flags.FLAGS and not hasattr(flags.FLAGS.config, 'to_dict'):
      path = config_flags.get_config_filename(flags.FLAGS['config'])
      raise InputError(f'get_config in {path} must return a ConfigDict; see configs/mvtec.py')
  except Exception as error:
    sys.exit(_fail(_config_mistake(error) or _flag_mistake(error)))
  return rest


def _config_mistake(error: BaseException | None) -> str:
  """Describes an error in a config file or a file it imports, which is `error` or its cause.

  Returns:
    One line with file and line number, or '' if the error comes from elsewhere.
  """
  while error is not None:
    name = type(error).__name__
    if isinstance(error, SyntaxError) and _is_users(error.filename):
      return f'{error.filename}:{error.lineno}: {name}: {error.msg}'
    frames = [f for f in traceback.extract_tb(error.__traceback__) if _is_users(f.filename)]
    if frames:
      place, message = frames[-1], '. '.join(_lines(error))
      if isinstance(error, ValueError) and (place.line or '').startswith('raise '):
        return message  # the config file raised it deliberately, for its user
      return f'{place.filename}:{place.lineno}: {name}: {message}'.removesuffix(': ')
    error = error.__cause__ or error.__context__
  return ''


def _is_users(filename: str | None) -> bool:
  """Whether a file is neither this one nor part of Python or an installed package."""
  installed = ('site-packages', 'dist-packages', sysconfig.get_path('stdlib'))
  return (
    filename is not None
    and Path(filename).is_file()
    and filename != __file__
    and not any(folder in filename for folder in installed)
  )


def _flag_mistake(error: Exception) -> str:
  """Describes an absl or ml_collections error about a flag in one line."""
  text = str(error)
  missing = re.findall(r'Flag --(\w+) must have a value other than None', text)
  if 'config' in missing and flags.FLAGS['config'].present:
    path = config_flags.get_config_filename(flags.FLAGS['config'])
    return f'get_config in {path} returns nothing; end it with `return config`'
  if missing:
    names = ' and '.join(f'--{name}' for name in missing)
    examples = ' '.join(f'--{name}={EXAMPLES.get(name, "…")}' for name in missing)
    return f'missing {names}; for example: {examples}'
  if isinstance(error, AttributeError) and error.name == 'get_config':
    path = error.obj.__file__  # type: ignore[attr-defined]
    return f'{path} has no function get_config; see configs/mvtec.py'
  lines = _lines(error)
  if isinstance(error, AttributeError | KeyError):
    return f'no such config field: {". ".join(lines)}'
  if isinstance(error, OSError):
    return f'cannot load the config: {lines[-1]}; the named configs are {", ".join(CONFIG_NAMES)}'
  lines = [line for line in lines if not line.startswith('Pass --help')]
  if len(lines) > 3:  # the flag, a traceback, the error
    lines = [lines[0].removesuffix('Error whilst parsing config file:').strip(), lines[-1]]
  text = ' '.join(lines)
  for theirs, ours in WRONG_VALUES.items():
    if text.startswith('flag --') and theirs in text:
      return f'{text[5 : text.rindex(theirs)].rstrip(": ")}: {ours}'
  return text


def _lines(error: BaseException) -> list[str]:
  """The lines of an exception's message, without the quotes that a KeyError adds."""
  if isinstance(error, AttributeError) and error.args and isinstance(error.args[0], KeyError):
    error = error.args[0]  # ml_collections wraps the KeyError of an unknown field
  text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
  return [line.strip() for line in text.splitlines() if line.strip()]


def _fail(message: str) -> int:
  print(f'error: {message}', file=sys.stderr)
  return 1
