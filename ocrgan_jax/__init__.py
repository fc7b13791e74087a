"""OCR-GAN in JAX and Flax: finds the defective images after seeing sound ones alone.

The public functions are `train`, `evaluate`, `load` and `fit`; everything else is internal and
may change. They are imported when first used, so that `import ocrgan_jax` takes no time.
"""

import sys
from typing import TYPE_CHECKING, Any

__version__ = '0.3.0'

# Public function → the module that it is in.
_PUBLIC = {
  'train': 'ocrgan_jax.training.train',
  'evaluate': 'ocrgan_jax.reports.evaluation',
  'load': 'ocrgan_jax.inference.loading',
  'fit': 'ocrgan_jax.training.train',
}
__all__ = ['evaluate', 'fit', 'load', 'train']

if TYPE_CHECKING:
  from ocrgan_jax.inference.loading import load
  from ocrgan_jax.reports.evaluation import evaluate
  from ocrgan_jax.training.train import fit, train


def __getattr__(name: str) -> Any:
  if name not in _PUBLIC:
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
  import importlib

  return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
  return sorted([*globals(), *_PUBLIC])


# `python -m ocrgan_jax.<command>` imports this before the command and all that is slow to import.
if sys.argv[:1] == ['-m'] and any(x.startswith('ocrgan_jax') for x in sys.orig_argv):
  from ocrgan_jax.core.signals import exit_on_signals

  exit_on_signals()
