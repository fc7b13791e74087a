"""The user's cache folder. Its files can be deleted at any time."""

import os
from pathlib import Path


def user_cache() -> Path:
  """The folder for prepared datasets and compiled programs: `ocrgan_jax` in the user's cache."""
  return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'ocrgan_jax'
