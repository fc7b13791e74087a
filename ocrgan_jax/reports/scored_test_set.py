"""Scores a test set with one checkpoint: everything that an evaluation reports on."""

import functools
from collections import defaultdict
from typing import NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from ocrgan_jax.data.builder import Split
from ocrgan_jax.data.decoding import upright_size
from ocrgan_jax.data.images import Images, Photographs, reduce_tiles, tile_indices
from ocrgan_jax.inference.map_views import small_map
from ocrgan_jax.inference.scorer import Scorer
from ocrgan_jax.reports.trivial import trivial_scores

SMALL = 96  # the longer side of a small map, at most, in pixels


class ScoredTestSet(NamedTuple):
  """A test set, scored.

  Attributes:
    split: names, labels and defect types of the images.
    images: from `load_images`; with tiles, there are more images than names.
    shown: for each photograph, the index of its image with the highest score, to show.
    masks: from `load_masks`; empty if there are no pixel metrics.
    scores: raw scores, float32 [photographs].
    features: `features` of `score_step`, float32 [photographs, n].
    trivial: name → trivial scores, float32 [photographs].
    maps: anomaly maps of the whole photographs that have a mask, in order, float32
      [masks, size, size].
    small_maps: for pictures, of all photographs in their aspect ratio, uint8, 255 at MAP_RANGE
      times the limit; empty without pictures.
    why: for pictures, what was seen in each photograph and where; empty without pictures.
  """

  split: Split
  images: Images
  shown: np.ndarray
  masks: dict[int, np.ndarray]
  scores: np.ndarray
  features: np.ndarray
  trivial: dict[str, np.ndarray]
  maps: np.ndarray
  small_maps: list[np.ndarray]
  why: list[str]


def score_test_set(
  scorer: Scorer,
  split: Split,
  images: Images,
  masks: dict[int, np.ndarray],
  *,
  pictures: bool,
) -> ScoredTestSet:
  """Scores all images once.

  Args:
    scorer: of the checkpoint.
    split: the test set.
    images: of the test set.
    masks: from `load_masks`.
    pictures: whether to compute small maps.

  Returns:
    The test set with its scores.
  """
  size = scorer.model.image_size
  parts = tile_indices(images)
  outputs = ('score', 'features', *(('map',) if masks else ()))
  if pictures:
    outputs = ('features', *scorer.explained_by)
  columns: dict[str, list[np.ndarray]] = defaultdict(list)
  trivial: dict[str, list[np.ndarray]] = defaultdict(list)
  maps, small_maps, of_one, why = [], [], [], []
  photograph = 0
  with tqdm(None, 'scoring', len(images), unit='image', leave=False) as bar:
    for batch, values in scorer.batches(images, outputs):
      count = len(values['score'])
      for name in ('score', 'features'):
        columns[name].append(values[name])
      for name, scores in jax.device_get(trivial_scores(batch)).items():
        trivial[name].append(scores[:count])
      for i in range(count if 'map' in values else 0):
        of_one.append({name: value[i] for name, value in values.items() if name != 'features'})
        if len(of_one) < len(parts[photograph]):
          continue
        own = {name: np.stack([one[name] for one in of_one]) for name in of_one[0]}
        shape = photograph_size(images, split, photograph)
        if photograph in masks:
          maps.append(scorer.framing.on_photograph(own['map'], shape, (size, size)))
        if pictures:
          small_maps.append(small_map(scorer, own['map'], shape, SMALL))
          why.append(', '.join(filter(None, scorer.explain_photograph(own, shape))))
        photograph, of_one = photograph + 1, []
      bar.update(count)
  scores = np.concatenate(columns['score'])
  mean = functools.partial(reduce_tiles, images, how=np.add)
  return ScoredTestSet(
    split=split,
    images=images,
    shown=np.array([part[np.argmax(scores[part])] for part in parts]),
    masks=masks,
    scores=reduce_tiles(images, scores),
    features=mean(np.concatenate(columns['features'])),
    trivial={name: mean(np.concatenate(values)) for name, values in trivial.items()},
    maps=np.stack(maps) if maps else np.zeros((0, size, size), np.float32),
    small_maps=small_maps,
    why=why,
  )


def photograph_size(images: Images, split: Split, photograph: int) -> tuple[int, int]:
  """Returns width and height of a photograph in pixels."""
  if isinstance(images, Photographs):
    return images.sizes[photograph]
  return upright_size(split.records[photograph]['image'])
