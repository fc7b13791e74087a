"""The exceptions that stand for a user's mistake rather than ours."""


class InputError(ValueError):
  """Something the user gave cannot be used.

  Its message is one line: what is wrong, where, and what to do. The commands
  print it without a traceback and exit with status 1.
  """


class InUse(InputError):
  """Another process is at work there."""


class Damaged(InputError):
  """What was saved cannot be read again, or is not what was written."""
