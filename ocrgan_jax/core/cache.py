"""Where files go that are nobody's run: they can be deleted at any time."""

import os
from pathlib import Path


def user_cache() -> Path:
  """The folder of prepared datasets and compiled programs: `ocrgan_jax` in the user's cache."""
  return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'ocrgan_jax'
