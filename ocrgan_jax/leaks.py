"""Test images that the model was trained on."""

import sys

from ocrgan_jax.data.builder import Prepared
from ocrgan_jax.errors import InputError


def count_leaked(trained_on: list[str], dataset: Prepared) -> int:
  """Counts the test images that the model was trained on, by content.

  A dataset may have the same image in training and test; that only gets a warning.

  Args:
    trained_on: digests of the run's training images.
    dataset: as it is now.

  Returns:
    The number of such test images.

  Raises:
    InputError: if there are any because the dataset has changed since training.
  """
  known = set(trained_on)
  leaked = [
    name
    for name, digest in zip(dataset.test.names, dataset.test.digests, strict=True)
    if digest in known
  ]
  if not leaked:
    return 0
  if trained_on != dataset.train.digests:
    raise InputError(
      f'{len(leaked)} test images, {leaked[0]} the first, were in the training set of this run: '
      'the dataset has changed since; restore it, or train a new model'
    )
  print(
    f'warning: {len(leaked)} test images, {leaked[0]} the first, are also in the training set',
    file=sys.stderr,
  )
  return len(leaked)
