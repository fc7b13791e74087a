"""Pairs and groups of images that show the same physical part.

The same part under another light, moved by a few pixels, mirrored, turned by 90°, or encoded again
is a twin; two parts of one aligned product are none. Images are compared in three steps:

1. What all images share is taken off (`template.py`).
2. At 16×16 positions, each image is compared with every other one, in eight orientations and five
   shifts. The best few are its candidates (`candidates.py`).
3. Each candidate is moved onto the image. The correlation that is then left at 128×128 positions
   is the pair's similarity (`registration.py`). Above THRESHOLD the two are twins.

Where it fails: where all parts lie exactly still, a copy that is shifted keeps its outline after
the mean is taken off, and is missed. Smooth parts that differ in little but the light (castings)
are linked too often. Wafers cut from one crystal count as one part. Photographs that are not square
come in stretched to squares: a photograph turned by 90°, frame and all, is then a turned square,
but a part that is turned within an oblong frame is not found.
"""

from typing import NamedTuple

import jax
import numpy as np
from scipy import sparse

from ocrgan_jax.twins.candidates import Candidates, find_candidates
from ocrgan_jax.twins.registration import register
from ocrgan_jax.twins.template import Description

THRESHOLD = 0.7  # the similarity above which two are twins; set by looking at pairs of eleven sets


class Pairs(NamedTuple):
  """Pairs of images that were compared, each once and in order."""

  numbers: np.ndarray  # indices of the two images, the first below the second, int32 [m, 2]
  similarity: np.ndarray  # float32 [m]

  @property
  def twins(self) -> np.ndarray:
    """The indices of those above the threshold, int32 [twins, 2]."""
    return self.numbers[self.similarity > THRESHOLD]


class Nearest(NamedTuple):
  """The most similar reference of each query; -1 if there is none."""

  number: np.ndarray  # index of the reference, int32 [queries]
  similarity: np.ndarray  # float32 [queries]


def find_pairs(description: Description, members: np.ndarray | None = None) -> Pairs:
  """Compares images with those that look most like them.

  Of many twins, some pairs are not listed, but the groups still connect.

  Args:
    description: of all images, from `describe`.
    members: int [k], indices of the images to compare; all by default.
  """
  count = len(description.coarse)
  members = np.arange(count) if members is None else members
  with jax.default_matmul_precision('float32'):
    found = find_candidates(description.coarse, members, members)
    low = np.minimum(found.queries, found.references)
    high = np.maximum(found.queries, found.references)
    # Of a pair that was found from both sides, either one will do: the first is kept.
    _, once = np.unique(low.astype(np.int64) * max(count, 1) + high, return_index=True)
    similarity = register(description.fine, Candidates(*(x[once] for x in found)))
  return Pairs(np.stack([low[once], high[once]], axis=1).astype(np.int32), similarity)


def find_nearest(description: Description, queries: np.ndarray, references: np.ndarray) -> Nearest:
  """Finds the most similar reference of each query.

  Args:
    description: of all images, from `describe`.
    queries: int [q], indices of images.
    references: int [r], indices of images. An image is never its own reference.
  """
  with jax.default_matmul_precision('float32'):
    found = find_candidates(description.coarse, queries, references)
    similarity = register(description.fine, found)
  if not len(similarity):
    nobody = np.full(len(queries), -1)
    return Nearest(nobody.astype(np.int32), nobody.astype(np.float32))
  similarity = similarity.reshape(len(queries), -1)
  best, row = similarity.argmax(1), np.arange(len(queries))
  number = found.references.reshape(similarity.shape)[row, best]
  return Nearest(number.astype(np.int32), similarity[row, best])


def connect(count: int, pairs: np.ndarray) -> np.ndarray:
  """Numbers the groups of `count` images that pairs, int [m, 2], connect.

  Returns:
    int32 [count], the group of each image, counted from 0 in the order of their first images.
  """
  graph = sparse.coo_matrix((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), [count] * 2)
  label = sparse.csgraph.connected_components(graph, directed=False)[1]
  _, first, inverse = np.unique(label, return_index=True, return_inverse=True)
  return np.argsort(np.argsort(first))[inverse].astype(np.int32)
