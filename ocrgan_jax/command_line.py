"""How the commands start and how they fail: one line for what the user can mend."""

import sys
from collections.abc import Callable

import jax
from absl import app, flags, logging

from ocrgan_jax.errors import InputError
from ocrgan_jax.places import user_cache

# What absl and ml_collections raise for flags and config files that are not right.
MISTAKES = (
  flags.Error,
  AttributeError,
  KeyError,
  ValueError,
  TypeError,
  OSError,
  ImportError,
  SyntaxError,
)


def run(main: Callable[..., int | None], *, takes_arguments: bool = False) -> None:
  """Parses absl flags and runs a command.

  Args:
    main: the command; what it returns is the exit status.
    takes_arguments: whether it is given what is no flag, as a list.

  An InputError, a wrong flag and an interruption end in one line on the standard
  error stream and a non-zero status; any other exception is a fault of ours and
  keeps its traceback.
  """

  def call(arguments: list[str]) -> int | None:
    if takes_arguments:
      return main(arguments[1:])
    if len(arguments) > 1:
      raise InputError(f'what is {arguments[1]!r}? flags begin with --; see --help')
    return main()

  app.run(lambda arguments: _guarded(lambda: call(arguments)), flags_parser=_parse)


def _guarded(main: Callable[[], int | None]) -> int | None:
  if not flags.FLAGS['verbosity'].present:
    logging.set_verbosity(logging.WARNING)  # orbax tells its every move at INFO
  cache = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
  if cache is None:  # else the user has said where
    jax.config.update('jax_compilation_cache_dir', str(user_cache() / 'compiled'))
  try:
    return main()
  except InputError as error:
    return _fail(str(error))
  except KeyboardInterrupt:
    print('\nstopped', file=sys.stderr)
    return 130


def _parse(arguments: list[str]) -> list[str]:
  try:
    rest = flags.FLAGS(arguments)
    # A config file that cannot be loaded says so only when it is looked at.
    for name in flags.FLAGS:
      getattr(flags.FLAGS, name)
    if 'config' in flags.FLAGS:
      flags.FLAGS.config.to_dict()
  except MISTAKES as error:
    sys.exit(_fail(_last_line(error)))
  return rest


def _last_line(error: Exception) -> str:
  """The sentence of an error that says what is wrong, which absl buries in others."""
  text = str(error)
  if isinstance(error, AttributeError):  # ml_collections' word for a field that is not there
    text = f'no such config field: {error.args[0]}'.replace("\\'", "'").replace('\\n', '. ')
  lines = [line.strip() for line in text.splitlines() if line.strip()]
  lines = [line for line in lines if not line.startswith('Pass --help')]
  return ' '.join(lines) if len(lines) < 4 else lines[-1]


def _fail(message: str) -> int:
  print(f'error: {message}', file=sys.stderr)
  return 1
