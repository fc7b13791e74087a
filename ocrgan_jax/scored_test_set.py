"""A test set and what one checkpoint makes of it: all that an evaluation reports on."""

import functools
from collections import defaultdict
from typing import NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from ocrgan_jax.data.builder import Split
from ocrgan_jax.data.pipeline import (
  Images,
  Photographs,
  of_photographs,
  parts_of,
)
from ocrgan_jax.scorer import Scorer
from ocrgan_jax.trivial import trivial_scores


class ScoredTestSet(NamedTuple):
  """A test set, scored.

  Attributes:
    split: names, labels and defect types of the images.
    images: from `load_images`; where photographs are tiles, there are more than names.
    shown: index of the image to show of each photograph, the one with the highest score.
    masks: from `load_masks`; empty if pixels are not judged.
    scores: raw, float32 [photographs].
    features: D's latent features, float32 [photographs, 100].
    trivial: name → trivial scores, float32 [photographs].
    maps: anomaly maps over the whole photographs with a mask, in order, float32
      [masks, size, size].
  """

  split: Split
  images: Images
  shown: np.ndarray
  masks: dict[int, np.ndarray]
  scores: np.ndarray
  features: np.ndarray
  trivial: dict[str, np.ndarray]
  maps: np.ndarray


def score_test_set(
  scorer: Scorer, split: Split, images: Images, masks: dict[int, np.ndarray]
) -> ScoredTestSet:
  """Scores all images once.

  Args:
    scorer: of the checkpoint.
    split: the test set.
    images: of the test set.
    masks: from `load_masks`; without any, no anomaly maps are made.

  Returns:
    The test set with its scores.
  """
  outputs = ('score', 'features', 'map') if masks else ('score', 'features')
  columns: dict[str, list[np.ndarray]] = defaultdict(list)
  trivial: dict[str, list[np.ndarray]] = defaultdict(list)
  maps: list[np.ndarray] = []
  parts = parts_of(images)
  owners = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
  start = 0
  with tqdm(None, 'scoring', len(images), unit='image', leave=False) as bar:
    for batch, values in scorer.batches(images, outputs):
      count = len(values['score'])
      for name in ('score', 'features'):
        columns[name].append(values[name])
      for name, scores in jax.device_get(trivial_scores(batch)).items():
        trivial[name].append(scores[:count])
      if masks:
        maps += [values['map'][i] for i in range(count) if owners[start + i] in masks]
      start += count
      bar.update(count)
  size = scorer.model.image_size
  scores = np.concatenate(columns['score'])
  mean = functools.partial(of_photographs, images, how=np.add)
  return ScoredTestSet(
    split=split,
    images=images,
    shown=np.array([part[np.argmax(scores[part])] for part in parts]),
    masks=masks,
    scores=of_photographs(images, scores),
    features=mean(np.concatenate(columns['features'])),
    trivial={name: mean(np.concatenate(values)) for name, values in trivial.items()},
    maps=whole_maps(images, masks, maps) if maps else np.zeros((0, size, size), np.float32),
  )


def whole_maps(images: Images, masks: dict[int, np.ndarray], maps: list[np.ndarray]) -> np.ndarray:
  """The maps of images → those of the photographs with a mask, stretched as the masks are."""
  if not isinstance(images, Photographs):
    return np.stack(maps)
  found, done = [], 0
  for photograph in sorted(masks):
    size = images.sizes[photograph]
    count = len(images.framing.boxes(*size))
    part = np.stack(maps[done : done + count])
    found.append(images.framing.on_photograph(part, size, part.shape[1:]))
    done += count
  return np.stack(found)
