"""A trained model that scores images, for evaluation, prediction and scripts."""

import dataclasses
import functools
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh

from ocrgan_jax import checkpoint, runs, saved_calibration, sharding
from ocrgan_jax.calibration import Calibration, scale, with_threshold
from ocrgan_jax.checks import flat_fields
from ocrgan_jax.configs import default
from ocrgan_jax.data.framing import Framing
from ocrgan_jax.data.pipeline import Images, evaluation_batches, of_photographs
from ocrgan_jax.errors import InputError
from ocrgan_jax.model import OCRGAN
from ocrgan_jax.prediction import Prediction, predict
from ocrgan_jax.score_step import explain_step, score_step
from ocrgan_jax.scoring import Reference
from ocrgan_jax.settings import build_model
from ocrgan_jax.state import State, create_state
from ocrgan_jax.validation import make_validation

# The fields of `config.score` that set the threshold; a run can follow others without its images.
THRESHOLD_FIELDS = ('threshold_quantile', 'false_alarms', 'threshold')
# (state, reference, batch) → arrays with one entry per image.
Step = Callable[[State, Reference, jax.Array], dict[str, jax.Array]]


@dataclasses.dataclass(frozen=True)
class Scorer:
  """A model restored from a run's folder. Make one with `load`.

  Attributes:
    config: of the run.
    model: the static description.
    state: the arrays.
    calibration: the scale of the scores and the default threshold.
    mesh: the devices that share a batch.
    framing: how photographs become its images.
  """

  config: ml_collections.ConfigDict
  model: OCRGAN
  state: State
  calibration: Calibration
  mesh: Mesh
  framing: Framing

  @property
  def batch_size(self) -> int:
    """Number of images scored at once, as in training. Scores do not depend on it."""
    return -(-self.config.train.batch_size // self.mesh.size) * self.mesh.size

  def score(self, images: Images) -> np.ndarray:
    """Computes raw anomaly scores, larger for more anomalous, independently for each image.

    Args:
      images: uint8 [images, size, size, 3], RGB at the model's `image_size`, or any
        object with a length that gives such an array for an array of indices. Of a model
        with padding, tiles or a region of interest they have a fourth channel, 255 where a
        pixel counts: `framing` makes them.

    Returns:
      float32 [images]; if they are `pipeline.Photographs`, the largest score of each.

    Raises:
      InputError: if the images have another type, shape or size, or a score is not finite.
    """
    parts = [outputs['score'] for _, outputs in self.batches(images)]
    scores = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    return of_photographs(images, scores)

  def score_files(
    self, paths: Iterable[Path | str], *, threshold: float | None = None
  ) -> list[Prediction]:
    """Scores image files and decides on each, as `ocrgan predict` does.

    Args:
      paths: image files.
      threshold: scaled score above which an image is anomalous; by default the model's.

    Returns:
      One prediction per path, in order; for an unreadable file it holds the error.
    """
    return list(predict(self, paths, threshold=threshold))

  def maps(self, images: Images) -> np.ndarray:
    """Computes anomaly maps; 1 is typical of held-out normal images, see `scoring.Score`.

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
      The batch on its devices, padded to `batch_size`, and the outputs for its images.
    """
    yield from self._run(_scoring(self.model, self.mesh, outputs), images)

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
      batch_size: that they are padded to, each size a program of its own; by default as in
        training.

    Returns:
      The outputs.
    """
    images = np.asarray(images)
    self._check(images)
    padding = [(0, (batch_size or self.batch_size) - len(images))] + [(0, 0)] * 3
    step = _scoring(self.model, self.mesh, outputs)
    _, values = self._run_batch(step, np.pad(images, padding))
    return {name: value[: len(images)] for name, value in values.items()}

  def explain(self, images: Images) -> dict[str, np.ndarray]:
    """Computes intermediate results of the model, for figures.

    Args:
      images: see `score`; at least one.

    Returns:
      The results of `score_step.explain_step`.
    """
    parts = [values for _, values in self._run(_explaining(self.model, self.mesh), images)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

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
    values = step(self.state, self.calibration.reference, batch)
    found = {name: np.asarray(value) for name, value in values.items()}
    # NaN is over no threshold: it would be called normal.
    if not np.isfinite(found.get('score', 0)).all():
      raise InputError('a score is not finite: the model is of no use; train it again')
    return batch, found

  def _check(self, batch: np.ndarray) -> None:
    size, channels = self.model.image_size, self.model.channels
    if batch.dtype != np.uint8 or batch.shape[1:] != (size, size, channels):
      given = ', '.join(['images', *map(str, batch.shape[1:])])
      raise InputError(
        f"images must be uint8 [images, {size}, {size}, {channels}], RGB at the model's "
        f'image_size; these are {batch.dtype} [{given}]; make them with '
        'ocrgan_jax.data.framing.decode_frames and the framing of this scorer'
      )

  def scale(self, scores: np.ndarray) -> np.ndarray:
    """Scales scores by Eq. 14: 0 to 1 over held-out normal images."""
    return scale(scores, self.calibration)


@functools.cache
def _scoring(model: OCRGAN, mesh: Mesh, outputs: tuple[str, ...]) -> Step:
  def step(state: State, reference: Reference, images: jax.Array) -> dict[str, jax.Array]:
    values = score_step(state, reference, images, model=model)
    return {name: values[name] for name in outputs}

  return sharding.jit_over_batch(step, mesh, num_replicated=2)


@functools.cache
def _explaining(model: OCRGAN, mesh: Mesh) -> Step:
  return sharding.jit_over_batch(
    functools.partial(explain_step, model=model), mesh, num_replicated=2
  )


def load(workdir: str | Path, *, protocol: str = 'last') -> Scorer:
  """Restores a trained model.

  Args:
    workdir: the run's folder.
    protocol: which checkpoint: 'last', or 'validation', the best by validation.

  Returns:
    The scorer.

  Raises:
    InputError: if the folder has no run or no checkpoint, or the protocol is unknown.
  """
  if protocol == 'oracle':
    raise InputError(
      "the protocol 'oracle' selects by the test set, so only evaluation has it; "
      "use 'last' or 'validation'"
    )
  return next(load_each(workdir, protocol))


def load_each(workdir: str | Path, protocol: str, *, as_trained: bool = False) -> Iterator[Scorer]:
  """Restores the checkpoints that a protocol needs, one at a time.

  Args:
    workdir: the run's folder.
    protocol: see `checkpoint.steps`.
    as_trained: whether to leave out what `ocrgan calibrate` chose since.

  Yields:
    Scorers, earliest checkpoint first.

  Raises:
    InputError: as `load`.
  """
  workdir, mesh = Path(workdir), sharding.make_mesh()
  config = runs.load_config(workdir)
  model = build_model(config)
  like = jax.eval_shape(functools.partial(create_state, model), config.seed)
  chosen = None if as_trained else saved_calibration.restore_calibration(workdir)
  for step in checkpoint.steps(workdir, protocol):
    state, calibration = checkpoint.restore_scoring(workdir, like, sharding.replicated(mesh), step)
    step = int(state.step)  # another where it was damaged
    framing = runs.load_framing(workdir, config)
    scorer = Scorer(config, model, state, calibration, mesh, framing)
    if chosen and chosen[2] == step:
      scorer = _calibrated(scorer, *chosen[:2])
    elif chosen and protocol != 'oracle':
      print(
        f'warning: what calibrate chose is of step {chosen[2]}, and this is step {step} by its own '
        'threshold; run ocrgan calibrate again',
        file=sys.stderr,
      )
    yield scorer


def _calibrated(scorer: Scorer, calibration: Calibration, score: dict[str, Any]) -> Scorer:
  config = scorer.config.copy_and_resolve_references()
  config.score.update(score)
  model = build_model(config)
  return dataclasses.replace(scorer, config=config, model=model, calibration=calibration)


def with_threshold_rule(scorer: Scorer, changes: dict[str, Any]) -> Scorer:
  """A model with its threshold set by another rule, from the held-out scores that it knows.

  Args:
    scorer: of a run.
    changes: fields of the config's section `score`, of THRESHOLD_FIELDS alone.

  Returns:
    The new scorer.

  Raises:
    InputError: if a field is invalid.
  """
  config = scorer.config.copy_and_resolve_references()
  config.score.update(_with_one_threshold(changes))
  model = build_model(config)
  calibration = with_threshold(scorer.calibration, model.score)
  return dataclasses.replace(scorer, config=config, model=model, calibration=calibration)


def _with_one_threshold(changes: dict[str, Any]) -> dict[str, Any]:
  """The changes, with the other ways to set the threshold switched off if one is among them."""
  if not {*changes} & {*THRESHOLD_FIELDS}:
    return changes
  return {'false_alarms': 0.0, 'threshold': None, **changes}


def with_score(scorer: Scorer, changes: dict[str, Any], held_out: Images, images: Images) -> Scorer:
  """Recalibrates a model with other fields of `config.score`.

  Args:
    scorer: of a run.
    changes: fields of the config's section `score`.
    held_out: the normal images that the run held out.
    images: those that it trained on.

  Returns:
    The new scorer.

  Raises:
    InputError: if a field is invalid, or the score needs a discriminator that the run
      did not train.
  """
  config = scorer.config.copy_and_resolve_references()
  config.score.update(_with_one_threshold(changes))
  model = build_model(config)
  if model.trains_discriminator and not scorer.model.trains_discriminator:
    raise InputError(
      'this score needs the discriminator, which the run did not train; '
      'use --score.kind=map or --score.content_weight=1'
    )
  validate = make_validation(model, scorer.mesh, held_out, scorer.batch_size, images)
  calibration = validate(scorer.state).calibration
  return dataclasses.replace(scorer, config=config, model=model, calibration=calibration)


def fit_statistics(scorer: Scorer, held_out: Images, images: Images) -> Scorer:
  """The density of band statistics alone, nothing trained, on the images of a run.

  Args:
    scorer: of the run.
    held_out: the normal images that the run held out.
    images: those that it trained on.

  Returns:
    A scorer as the preset `statistics` makes it, but for its threshold, which is of the held-out
    images alone.
  """
  config = default.get_config('statistics')
  fields = flat_fields(scorer.config)
  same = ['seed', 'image_size', 'model.branches', 'model.bands', 'train.batch_size']
  same += [name for name in fields if name.startswith('data.')]
  config.update_from_flattened_dict({name: fields[name] for name in same})
  model = build_model(config)
  state = jax.jit(functools.partial(create_state, model))(config.seed)
  state = jax.device_put(state, sharding.replicated(scorer.mesh))
  validate = make_validation(
    model, scorer.mesh, held_out, scorer.batch_size, images, sets_threshold=False
  )
  calibration = validate(state).calibration
  return Scorer(config, model, state, calibration, scorer.mesh, scorer.framing)
