"""The exceptions that stand for a user's mistake rather than ours."""

import errno

# A disk that is full, over a quota or a limit, or read-only.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
# What tensorstore and array_record, which know no error numbers, say of it.
SAID = ('RESOURCE_EXHAUSTED', 'No space left', 'File too large', 'Read-only file', 'quota')


class InputError(ValueError):
  """Something the user gave cannot be used.

  Its message is one line: what is wrong, where, and what to do. The commands
  print it without a traceback and exit with status 1.
  """


class InUse(InputError):
  """Another process is at work there."""


class Damaged(InputError):
  """What was saved cannot be read again, or is not what was written."""


def is_full(error: BaseException) -> bool:
  """Whether an error is that of a disk that takes nothing more."""
  if isinstance(error, OSError) and error.errno in FULL:
    return True
  return not is_out_of_memory(error) and any(words in str(error) for words in SAID)


def is_out_of_memory(error: BaseException) -> bool:
  """Whether an error is that of a device whose memory does not do, as JAX words it."""
  return 'RESOURCE_EXHAUSTED' in str(error) and 'ut of memory' in str(error)
