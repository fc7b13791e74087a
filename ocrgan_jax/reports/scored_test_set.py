"""Scores a test set with one checkpoint: everything that an evaluation reports on."""

import itertools
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from ocrgan_jax.data.builder import Split
from ocrgan_jax.data.decoding import upright_size
from ocrgan_jax.data.images import Images, Photographs, tile_indices
from ocrgan_jax.inference.map_views import small_map
from ocrgan_jax.inference.scorer import Scorer
from ocrgan_jax.reports.trivial import NEAREST, TRIVIAL, trivial_scores

SMALL = 96  # the longer side of a small map, at most, in pixels


class ScoredTestSet(NamedTuple):
  """A test set, scored.

  Attributes:
    split: names, labels and defect types of the photographs.
    images: from `load_images`; with tiles, there are more images than photographs.
    masks: from `load_masks`; empty if there are no pixel metrics.
    scores: raw scores, float32 [photographs].
    shown: for each photograph, the index of its image with the highest score.
    trivial: name → trivial scores, float [photographs].
    maps: anomaly maps of the whole photographs with a mask, float32 [masks, size, size].
    small_maps: for the report, of all photographs in their aspect ratio, uint8, 255 at MAP_RANGE
      times the limit.
    why: for the report, what was seen in each photograph and where.
    latent: for the report of networks, D's latent features, float32 [photographs, 100].
  """

  split: Split
  images: Images
  masks: dict[int, np.ndarray]
  scores: np.ndarray
  shown: np.ndarray
  trivial: dict[str, np.ndarray]
  maps: np.ndarray
  small_maps: list[np.ndarray]
  why: list[str]
  latent: np.ndarray


def score_test_set(
  scorer: Scorer,
  split: Split,
  images: Images,
  masks: dict[int, np.ndarray],
  *,
  pictures: bool,
) -> ScoredTestSet:
  """Scores all images once; `pictures` says whether to compute what only the report shows."""
  size = scorer.model.image_size
  outputs: tuple[str, ...] = ('score', 'map') if masks else ('score',)
  if pictures:
    outputs = scorer.explained_by
    outputs += () if scorer.model.score.heads_on else ('features',)
  found = _by_photograph(scorer, images, outputs)
  found = tqdm(found, 'scoring', len(split.names), unit='photograph', leave=False)
  columns: dict[str, list[Any]] = defaultdict(list)
  for i, values in enumerate(found):
    columns['scores'].append(values['score'].max())
    columns['best'].append(values['score'].argmax())
    for name in TRIVIAL:
      columns[name].append(values[name].mean())
    if 'map' not in values:
      continue
    shape = _size(images, split, i)
    if i in masks:
      columns['maps'].append(scorer.framing.on_photograph(values['map'], shape, (size, size)))
    if pictures:
      columns['small_maps'].append(small_map(scorer, values['map'], shape, SMALL))
      columns['why'].append(', '.join(filter(None, scorer.explain_photograph(values, shape))))
    if 'features' in values:
      columns['latent'].append(values['features'].mean(0))
  first = [part[0] for part in tile_indices(images)]
  trivial = {name: np.array(columns[name]) for name in TRIVIAL}
  if split.similarity is not None:
    trivial[NEAREST] = -split.similarity
  return ScoredTestSet(
    split=split,
    images=images,
    masks=masks,
    scores=np.array(columns['scores'], np.float32),
    shown=np.array(first) + columns['best'],
    trivial=trivial,
    maps=np.array(columns['maps'], np.float32).reshape(-1, size, size),
    small_maps=columns['small_maps'],
    why=columns['why'],
    latent=np.array(columns['latent']),
  )


def _by_photograph(
  scorer: Scorer, images: Images, outputs: tuple[str, ...]
) -> Iterator[dict[str, np.ndarray]]:
  """Scores batch by batch; yields the outputs and trivial scores of a photograph's images."""
  batches = (
    (len(values['score']), values | jax.device_get(trivial_scores(batch)))
    for batch, values in scorer.batches(images, outputs)
  )
  rows = (
    {name: value[i] for name, value in values.items()}
    for count, values in batches
    for i in range(count)
  )
  for part in tile_indices(images):
    own = list(itertools.islice(rows, len(part)))
    yield {name: np.stack([row[name] for row in own]) for name in own[0]}


def _size(images: Images, split: Split, photograph: int) -> tuple[int, int]:
  """Width and height of a photograph in pixels."""
  if isinstance(images, Photographs):
    return images.sizes[photograph]
  return upright_size(split.records[photograph]['image'])
