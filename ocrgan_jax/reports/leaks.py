"""Test images that the model was trained on."""

import sys

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.builder import Prepared


def count_leaked(trained_on: list[str], shared: list[str] | None, dataset: Prepared) -> int:
  """Counts the test images that the model was trained on, by content.

  A dataset may have the same image in training and test; that only gets a warning.

  Args:
    trained_on: digests of the run's training images.
    shared: those of them that were in the test set already when the run began; None if that
      is not known, and a dataset that has not changed is then taken to be as it was.
    dataset: as it is now.

  Returns:
    The number of such test images.

  Raises:
    InputError: if one has come into the test set since the run began.
  """
  known = set(trained_on)
  leaked = [
    name
    for name, digest in zip(dataset.test.names, dataset.test.digests, strict=True)
    if digest in known
  ]
  if not leaked:
    return 0
  if shared is None:
    shared = trained_on if trained_on == dataset.train.digests else []
  digests = dict(zip(dataset.test.names, dataset.test.digests, strict=True))
  new = [name for name in leaked if digests[name] not in shared]
  if new:
    raise InputError(
      f'{len(new)} test images, {new[0]} the first, are in the training set of this run, and were '
      'not in its test set when it began: remove them from the test images, or train a new model'
    )
  print(
    f'warning: {len(leaked)} test images, {leaked[0]} the first, are also in the training set',
    file=sys.stderr,
  )
  return len(leaked)
