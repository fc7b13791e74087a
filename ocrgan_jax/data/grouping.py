"""Groups the images of a dataset, splits them by group, and compares the test set with training.

Where the split is given, nothing about the training images depends on the test images: what images
share is learned from training, training groups come from pairs within training, and a test image
joins the group of its nearest training image. Where the project draws the split, the groups are
found among all images first, and then drawn whole.

The nearest training image is always found by what training images share. Other images are compared
by what all share: what sets the test set apart from training would pass for a likeness otherwise.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.examples import Example
from ocrgan_jax.data.group_rules import NONE, TWINS, read_groups
from ocrgan_jax.twins.pairs import THRESHOLD, Nearest, Pairs, connect, find_nearest, find_pairs
from ocrgan_jax.twins.template import describe, fit_template

CLOSEST, BESIDE = 4, 4  # pairs to look at: the most similar, and on each side of the threshold


class Grouping(NamedTuple):
  """The images of a dataset in groups and splits."""

  order: np.ndarray  # the images' indices, those to train on first, int [images]
  num_train: int  # how many of them are to train on
  groups: np.ndarray  # of the images in that order, int [images]
  # Of each test image to the nearest training image, float32 [test]; None if not compared.
  similarity: np.ndarray | None
  pairs: list[tuple[int, int, float]]  # indices of two images and their similarity; worth a look


def group_images(
  examples: Sequence[Example],
  num_train: int,
  thumbnails: np.ndarray | None,
  *,
  rule: str,
  train_share: float | None,
  seed: int,
) -> Grouping:
  """Groups images, and draws the training images if there is no given split.

  Args:
    examples: the images, those of the training split first.
    num_train: how many are of the training split.
    thumbnails: from `decoding.thumbnail`, uint8 [images, 128, 128]; None if the rule is 'none'.
    rule: the config's `data.groups`.
    train_share: share of the training split that stays there; None if the split is given.
    seed: draws the training images.

  Returns:
    The groups, the order, and how near the test set is to training.

  Raises:
    InputError: if the rule does not fit the images, or all to draw from are one group.
  """
  if thumbnails is None or rule == NONE:
    groups = read_groups(rule, examples)
    order, num_train = _draw(groups, num_train, train_share, seed)
    return Grouping(order, num_train, groups[order], None, [])
  if train_share is None:
    twins, near, pairs = _compare_sides(thumbnails, num_train)
    groups = twins if rule == TWINS else read_groups(rule, examples)
    order = np.arange(len(examples))
  else:
    pairs = find_pairs(describe(thumbnails, fit_template(thumbnails)))
    groups = connect(len(examples), pairs.twins) if rule == TWINS else read_groups(rule, examples)
    order, num_train = _draw(groups, num_train, train_share, seed)
    template = fit_template(thumbnails[order[:num_train]])
    near = find_nearest(describe(thumbnails, template), order[num_train:], order[:num_train])
  return Grouping(order, num_train, groups[order], near.similarity, to_look_at(pairs))


def _draw(
  groups: np.ndarray, num_train: int, train_share: float | None, seed: int
) -> tuple[np.ndarray, int]:
  """The order of the images after the draw, and how many train."""
  if train_share is None:
    return np.arange(len(groups)), num_train
  if num_train > 1 and len(np.unique(groups[:num_train])) == 1:
    raise InputError(
      f'all {num_train} normal images show one part, so none can be held out for a test; '
      'photograph more parts, or split by image with --config.data.groups=none'
    )
  drawn = np.zeros(len(groups), bool)
  drawn[:num_train] = take_groups(groups[:num_train], round(train_share * num_train), seed)
  return np.argsort(~drawn, kind='stable'), int(drawn.sum())


def take_groups(groups: np.ndarray, count: int, seed: int, *, at_least: bool = False) -> np.ndarray:
  """Draws whole groups, int [images], at random until they have about `count` images.

  Args:
    groups: of each image.
    count: with `at_least`, they have as many or more; else as near to it as the order allows.
    seed: the same seed draws the same.
    at_least: see `count`.

  Returns:
    bool [images], which are drawn: at least one group. Never all of several unless `at_least`.
  """
  names, sizes = np.unique(groups, return_counts=True)
  order = np.random.default_rng(seed).permutation(len(names))
  total = np.cumsum(sizes[order])
  if at_least:
    taken = int(np.searchsorted(total, count)) + 1
  else:
    taken = max(1, min(int(np.abs(total - count).argmin()) + 1, len(names) - 1))
  return np.isin(groups, names[order[:taken]])


def _compare_sides(thumbnails: np.ndarray, num_train: int) -> tuple[np.ndarray, Nearest, Pairs]:
  """Groups, the nearest training image of each test image, and the pairs that were compared."""
  train, test = np.arange(num_train), np.arange(num_train, len(thumbnails))
  description = describe(thumbnails, fit_template(thumbnails[:num_train]))
  within = find_pairs(description, train)
  near = find_nearest(description, test, train)
  known = near.similarity > THRESHOLD
  # Test images of parts that training does not have form groups of their own.
  rest = test[~known]
  among = find_pairs(describe(thumbnails[rest], fit_template(thumbnails)))
  among = among._replace(numbers=rest[among.numbers])
  group = connect(num_train, within.twins)
  new = connect(len(test), among.twins - num_train) + len(train)
  groups = np.concatenate([group, np.where(known, group[near.number], new)])
  across = np.stack([near.number, test], axis=1)[near.number >= 0]
  numbers = np.concatenate([within.numbers, across, among.numbers])
  similarity = [within.similarity, near.similarity[near.number >= 0], among.similarity]
  groups = np.unique(groups, return_inverse=True)[1]
  return groups, near, Pairs(numbers, np.concatenate(similarity))


def to_look_at(pairs: Pairs) -> list[tuple[int, int, float]]:
  """Chooses up to a dozen of the compared pairs to judge the threshold by.

  Returns:
    The most similar pairs, the least similar twins and the most similar pairs that are not twins,
    as two numbers and a similarity, sorted by falling similarity.
  """
  order = np.argsort(-pairs.similarity, kind='stable')
  twins = int((pairs.similarity > THRESHOLD).sum())
  start = max(CLOSEST, twins - BESIDE)  # of few twins, all are taken
  rows = [*order[:CLOSEST], *order[start : start + 2 * BESIDE]]
  return [(*pairs.numbers[row].tolist(), float(pairs.similarity[row])) for row in rows]
