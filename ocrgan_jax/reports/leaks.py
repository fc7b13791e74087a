"""Finds test images that the model was trained on."""

import sys

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.builder import Prepared


def count_leaked(trained_on: list[str], shared: list[str] | None, dataset: Prepared) -> int:
  """Counts the test images that the model was trained on, by content.

  Duplicates that the dataset had from the start only cause a warning.

  Args:
    trained_on: digests of the run's training images.
    shared: those of them that were in the test set when the run started; None if unknown, in
      which case all duplicates are assumed old if the training set is unchanged.
    dataset: as it is now.

  Returns:
    The number of such test images.

  Raises:
    InputError: if one was added to the test set after the run started.
  """
  known, unchanged = set(trained_on), trained_on == dataset.train.digests
  digests = zip(dataset.test.names, dataset.test.digests, strict=True)
  leaked = {name: digest for name, digest in digests if digest in known}
  if shared is None:
    shared = trained_on if unchanged else []
  new = [name for name, digest in leaked.items() if digest not in shared]
  if new:
    raise InputError(
      f'{len(new)} test images (first: {new[0]}) are in the training set of this run, and were not '
      'in its test set when it started; remove them from the test images, or train a new model'
    )
  if leaked and not unchanged:  # else the dataset's check has warned of them
    print(
      f'warning: {len(leaked)} test images (first: {next(iter(leaked))}) are also in the training '
      'set',
      file=sys.stderr,
    )
  return len(leaked)
