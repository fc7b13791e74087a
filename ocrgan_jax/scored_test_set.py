"""A test set and what one checkpoint makes of it: all that an evaluation reports on."""

from collections import defaultdict
from typing import NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from ocrgan_jax.data.builder import Split
from ocrgan_jax.data.pipeline import Images
from ocrgan_jax.scorer import Scorer
from ocrgan_jax.trivial import trivial_scores


class ScoredTestSet(NamedTuple):
  """A test set, scored.

  Attributes:
    split: names, labels and defect types of the images.
    images: uint8 [images, size, size, 3] or streamed.
    masks: from `load_masks`; empty if pixels are not judged.
    scores: raw, float32 [images].
    features: D's latent features, float32 [images, 100].
    trivial: name → trivial scores, float32 [images].
    maps: anomaly maps of the images with a mask, in order, float32 [masks, size, size].
  """

  split: Split
  images: Images
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
  start = 0
  with tqdm(None, 'scoring', len(images), unit='image', leave=False) as bar:
    for batch, values in scorer.batches(images, outputs):
      count = len(values['score'])
      for name in ('score', 'features'):
        columns[name].append(values[name])
      for name, scores in jax.device_get(trivial_scores(batch)).items():
        trivial[name].append(scores[:count])
      if masks:
        maps += [values['map'][i] for i in range(count) if start + i in masks]
      start += count
      bar.update(count)
  size = scorer.model.image_size
  return ScoredTestSet(
    split=split,
    images=images,
    masks=masks,
    scores=np.concatenate(columns['score']),
    features=np.concatenate(columns['features']),
    trivial={name: np.concatenate(parts) for name, parts in trivial.items()},
    maps=np.stack(maps) if maps else np.zeros((0, size, size), np.float32),
  )
