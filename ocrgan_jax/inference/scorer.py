"""A trained model that scores images, for evaluation, prediction and scripts."""

import dataclasses
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh

from ocrgan_jax.core import sharding
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.core.files import write_jpeg
from ocrgan_jax.data.batches import evaluation_batches
from ocrgan_jax.data.framing import Framing
from ocrgan_jax.data.images import Images, decode_files, reduce_tiles
from ocrgan_jax.drawing import overlay
from ocrgan_jax.inference.explanation import SIDE, Explanation, place_of, reason_of
from ocrgan_jax.inference.prediction import (
  Prediction,
  group_into_batches,
  picture_name,
  read_photograph,
)
from ocrgan_jax.model.score_step import score_step, view_step
from ocrgan_jax.model.settings import Model
from ocrgan_jax.model.state import State
from ocrgan_jax.scoring.calibration import Calibration, compared_with, map_limit, scale

SIZES = (1, 4, 8, 16)  # of small batches, so that one photograph does not cost a full one

# (arrays, batch) → arrays with one entry per image.
Step = Callable[[Any, jax.Array], dict[str, jax.Array]]


@dataclasses.dataclass(frozen=True)
class Scorer:
  """A model restored from a run's folder. Create one with `load`.

  Attributes:
    config: of the run.
    model: the static description.
    arrays: of the model, on the devices: `heads.maps.Heads` or `model.state.Trained`.
    calibration: scale of the scores and default threshold.
    mesh: the devices that share a batch.
    framing: turns photographs into the model's images.
  """

  config: ml_collections.ConfigDict
  model: Model
  arrays: Any
  calibration: Calibration
  mesh: Mesh
  framing: Framing

  @property
  def state(self) -> State:
    """The trained networks; only for recipes that train."""
    return self.arrays.state

  @property
  def step(self) -> int:
    """The number of training steps behind the model; 0 for the recipe `bands`."""
    return int(self.state.step) if self.model.trains else 0

  @property
  def compared_with(self) -> str:
    """The photographs whose scores are 0 to 1 and set the threshold, in words for users."""
    return compared_with(self.model.score)

  @property
  def batch_size(self) -> int:
    """Number of images to score at once, as in training; other sizes round differently."""
    return sharding.whole_batch(self.config.train.batch_size, self.mesh)

  def score(self, images: Images) -> np.ndarray:
    """Computes the raw anomaly score of each image; larger is more anomalous.

    Args:
      images: uint8 [images, size, size, 3], RGB at the model's `image_size`, or any object with a
        length that returns such an array for an array of indices. A model with padding, tiles or
        a region of interest takes a fourth channel, 255 where a pixel counts; `framing` makes it.

    Returns:
      float32 [images]; for `data.images.Photographs`, the largest score of each photograph.

    Raises:
      InputError: if the images have another type, shape or size, or a score is not finite.
    """
    parts = [outputs['score'] for _, outputs in self.batches(images)]
    scores = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    return reduce_tiles(images, scores)

  def score_files(
    self, paths: Iterable[Path | str], *, threshold: float | None = None
  ) -> list[Prediction]:
    """Scores and classifies image files, as `ocrgan predict` does.

    Args:
      paths: image files.
      threshold: scaled score above which an image is anomalous; by default the model's.

    Returns:
      One prediction per path, in order; for an unreadable file, it holds the error.
    """
    return list(self.stream_files(paths, threshold=threshold))

  def stream_files(
    self,
    paths: Iterable[Path | str],
    *,
    threshold: float | None = None,
    maps: Path | None = None,
    first: int = 0,
  ) -> Iterator[Prediction]:
    """Scores image files in constant memory, and draws their anomaly maps if wanted.

    Args:
      paths: image files.
      threshold: scaled score above which an image is anomalous; by default the model's.
      maps: folder for the photographs with their anomaly maps; None for no pictures.
      first: number of the first image in the names of the pictures.

    Yields:
      One prediction per path, in order; for an unreadable file, it holds the error.
    """
    done, paths = first, list(paths)
    limit = self.calibration.limit if threshold is None else threshold
    limit_on_map = self.map_limit(limit)
    sizes = self._sizes_for(len(paths))
    decoded = decode_files(paths, self.framing, self.config.data.max_megapixels)
    start = time.perf_counter()
    for batch in group_into_batches(decoded, self.batch_size):
      found: list[Prediction] = []
      values = self.score_photographs([file.images for file in batch], self.explained_by, sizes)
      for i, (file, value) in enumerate(zip(batch, values, strict=True)):
        if file.images is None:
          found.append(Prediction(str(file.path), np.nan, '', 0.0, file.error))
          continue
        score = float(self.scale(value['score'].max().astype(np.float64)))
        decision, drawn = 'anomalous' if score > limit else 'normal', ''
        if maps:
          place = maps / picture_name(done + i, file.path)
          try:
            photograph = read_photograph(file.path)
            whole = self.framing.on_photograph(value['map'], file.size, photograph.shape[:2])
            write_jpeg(place, overlay.draw(photograph, whole, limit_on_map, decision, score))
            drawn = str(place)
          except Exception as error:  # whatever it is, the other photographs' rows matter more
            print(f'warning: no picture of {file.path}: {error}', file=sys.stderr)
        explanation = self.explain_photograph(value, file.size, limit)
        found.append(Prediction(str(file.path), score, decision, 0.0, '', drawn, *explanation))
      done += len(batch)
      now = time.perf_counter()
      seconds, start = (now - start) / len(batch), now
      yield from (p._replace(seconds=seconds) for p in found)

  def score_photographs(
    self,
    groups: Sequence[np.ndarray | None],
    outputs: tuple[str, ...],
    sizes: Sequence[int] = (),
  ) -> list[dict[str, np.ndarray]]:
    """Scores the images of several photographs together.

    Args:
      groups: the images of each photograph, or None.
      outputs: the wanted results of `score_step.score_step`.
      sizes: batch sizes to choose from, ascending; each batch has the smallest size that fits. By
        default only `batch_size`.

    Returns:
      The results for each photograph's images; {} for None.
    """
    counts = [0 if group is None else len(group) for group in groups]
    if not sum(counts):
      return [{} for _ in groups]
    images = np.concatenate([group for group in groups if group is not None])
    sizes = sizes or (self.batch_size,)
    parts = []
    for start in range(0, len(images), sizes[-1]):
      part = images[start : start + sizes[-1]]
      size = next(size for size in sizes if size >= len(part))
      parts.append(self.score_batch(part, outputs, batch_size=size))
    values = {name: np.concatenate([part[name] for part in parts]) for name in outputs}
    ends = np.cumsum(counts)
    return [
      {name: value[end - count : end] for name, value in values.items()} if count else {}
      for count, end in zip(counts, ends, strict=True)
    ]

  def _sizes_for(self, count: int) -> tuple[int, ...]:
    """One batch size for so many photographs; tiles may need the full one."""
    small = [size * self.mesh.size for size in SIZES if count <= size * self.mesh.size]
    least = min([*small, self.batch_size])
    return (least,) if self.framing.fit != 'tiles' else (self.batch_size,)

  @property
  def explained_by(self) -> tuple[str, ...]:
    """The results of `score_step.score_step` that `explain_photograph` needs."""
    return ('score', 'map', 'heads') if self.model.score.heads_on else ('score', 'map')

  def explain_photograph(
    self, values: dict[str, np.ndarray], size: tuple[int, int], limit: float | None = None
  ) -> Explanation:
    """Says what was seen in a photograph, and where.

    Args:
      values: `explained_by` of its images.
      size: its width and height in pixels.
      limit: scaled score above which it is anomalous; by default the model's.

    Returns:
      The explanation.
    """
    whole = self.framing.on_small_photograph(values['map'], size, SIDE)
    heads = self.model.score.heads_on
    reason = reason_of(heads, values['heads']) if heads else ''
    return Explanation(reason, place_of(whole, self.map_limit(limit)))

  def maps(self, images: Images) -> np.ndarray:
    """Computes anomaly maps, to be compared with `map_limit`.

    Args:
      images: see `score`.

    Returns:
      float32 [images, size, size].
    """
    parts = [outputs['map'] for _, outputs in self.batches(images, ('map',))]
    size = self.model.image_size
    return np.concatenate(parts) if parts else np.zeros((0, size, size), np.float32)

  def batches(
    self, images: Images, outputs: tuple[str, ...] = ('score',)
  ) -> Iterator[tuple[jax.Array, dict[str, np.ndarray]]]:
    """Scores batch by batch.

    Args:
      images: see `score`.
      outputs: the wanted results of `score_step.score_step`.

    Yields:
      The batch on the devices, padded to `batch_size`, and the outputs for its images.
    """
    yield from self._run(self._program(score_step, outputs=outputs), images)

  def score_batch(
    self,
    images: np.ndarray,
    outputs: tuple[str, ...] = ('score',),
    *,
    batch_size: int = 0,
  ) -> dict[str, np.ndarray]:
    """Scores one batch, for callers that do their own batching.

    Args:
      images: uint8 [n, size, size, channels], n at most `batch_size`.
      outputs: the wanted results of `score_step.score_step`.
      batch_size: size to pad to, each of which compiles a program; by default that of training.

    Returns:
      The outputs.
    """
    images = np.asarray(images)
    self._check(images)
    padding = [(0, (batch_size or self.batch_size) - len(images))] + [(0, 0)] * 3
    step = self._program(score_step, outputs=outputs)
    _, values = self._run_batch(step, np.pad(images, padding))
    return {name: value[: len(images)] for name, value in values.items()}

  def views(self, images: Images) -> dict[str, np.ndarray]:
    """Computes intermediate results of the model, for figures.

    Args:
      images: see `score`; at least one.

    Returns:
      The results of `score_step.view_step`.
    """
    parts = [values for _, values in self._run(self._program(view_step), images)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

  def _program(self, step: Callable[..., Any], **static: Any) -> Step:
    return sharding.jit_over_batch(step, self.mesh, model=self.model, **static)

  def _run(self, step: Step, images: Images) -> Iterator[tuple[jax.Array, dict[str, np.ndarray]]]:
    for host_batch, count in evaluation_batches(
      images,
      self.batch_size,
      process_index=jax.process_index(),
      process_count=jax.process_count(),
    ):
      self._check(host_batch)
      batch, values = self._run_batch(step, host_batch)
      yield batch, {name: value[:count] for name, value in values.items()}

  def _run_batch(
    self, step: Step, host_batch: np.ndarray
  ) -> tuple[jax.Array, dict[str, np.ndarray]]:
    batch = sharding.put_batch(host_batch, self.mesh)
    values = step(self.arrays, batch)
    found = {name: np.asarray(value) for name, value in values.items()}
    # NaN exceeds no threshold, so the image would be called normal.
    if not np.isfinite(found.get('score', 0)).all():
      raise InputError('a score is not finite: the model is unusable; train it again')
    return batch, found

  def _check(self, batch: np.ndarray) -> None:
    size, channels = self.model.image_size, self.model.channels
    if batch.dtype != np.uint8 or batch.shape[1:] != (size, size, channels):
      shape = ', '.join(['images', *map(str, batch.shape[1:])])
      raise InputError(
        f"images must be uint8 [images, {size}, {size}, {channels}], RGB at the model's "
        f'image_size, but these are {batch.dtype} [{shape}]; make them with '
        "ocrgan_jax.data.framing.decode_frames and this scorer's framing"
      )

  def scale(self, scores: np.ndarray) -> np.ndarray:
    """Scales scores by Eq. 14: 0 to 1 over held-out normal images."""
    return scale(scores, self.calibration)

  def map_limit(self, limit: float | None = None) -> float:
    """The map value from which a place is anomalous, by default at the model's threshold."""
    limit = self.calibration.limit if limit is None else limit
    return map_limit(self.calibration, self.model.score, limit)
