"""Exceptions for problems that the user can fix, as opposed to bugs."""

import errno

# The disk is full, over a quota or limit, or read-only.
FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
# How tensorstore and array_record report it; they set no errno.
FULL_MESSAGES = ('RESOURCE_EXHAUSTED', 'No space left', 'File too large', 'Read-only file', 'quota')


class InputError(ValueError):
  """The user's input cannot be used.

  The message is one line: what is wrong, where, and what to do. The commands print it
  without a traceback and exit with status 1.
  """


class InUse(InputError):
  """Another process is using the folder."""


class Damaged(InputError):
  """A saved file cannot be read back, or differs from what was written."""


def is_disk_full(error: BaseException) -> bool:
  """Whether an error says that the disk accepts no more data."""
  if isinstance(error, OSError) and error.errno in FULL_ERRNOS:
    return True
  return not is_out_of_memory(error) and any(words in str(error) for words in FULL_MESSAGES)


def is_out_of_memory(error: BaseException) -> bool:
  """Whether a JAX error says that a device ran out of memory."""
  return 'RESOURCE_EXHAUSTED' in str(error) and 'ut of memory' in str(error)
