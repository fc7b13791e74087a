"""A trained model that scores images: the one path of evaluation, prediction and scripts."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh

from ocrgan_jax import checkpoint, runs, sharding
from ocrgan_jax.data.pipeline import Images, evaluation_batches
from ocrgan_jax.scoring import Calibration, scale
from ocrgan_jax.settings import build_model
from ocrgan_jax.state import OCRGAN, State, create_state
from ocrgan_jax.step import score_step


@dataclasses.dataclass(frozen=True)
class Scorer:
  """A model restored from a run's folder. Make one with `load`.

  Attributes:
    config: of the run.
    model: the static description.
    state: the arrays.
    calibration: the scale of the scores and the default threshold.
    mesh: the devices that share a batch.
  """

  config: ml_collections.ConfigDict
  model: OCRGAN
  state: State
  calibration: Calibration
  mesh: Mesh

  @property
  def batch_size(self) -> int:
    """Images scored at once, as many as in training. A score does not depend on it."""
    return -(-self.config.train.batch_size // self.mesh.size) * self.mesh.size

  @functools.cached_property
  def _step(self) -> Callable[[State, jax.Array], dict[str, jax.Array]]:
    return sharding.jit_over_batch(functools.partial(score_step, model=self.model), self.mesh)

  def score(self, images: Images) -> np.ndarray:
    """Raw anomaly scores by Eq. 13, larger for more anomalous, each of its image alone.

    Args:
      images: uint8 [images, size, size, 3], RGB at the model's `image_size`, or
        any object with a length that can be indexed by an array of indices.

    Returns:
      float32 [images].
    """
    parts = [scores for _, scores in self.batches(images)]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)

  def batches(self, images: Images) -> Iterator[tuple[jax.Array, np.ndarray]]:
    """Scores batch by batch.

    Args:
      images: see `score`.

    Yields:
      The batch on its devices, padded to `batch_size`, and the scores of its images.
    """
    for host_batch, count in evaluation_batches(
      images,
      self.batch_size,
      process_index=jax.process_index(),
      process_count=jax.process_count(),
    ):
      batch = sharding.put_batch(host_batch, self.mesh)
      yield batch, np.asarray(self._step(self.state, batch)['score'])[:count]

  def scale(self, scores: np.ndarray) -> np.ndarray:
    """Scaled scores, Eq. 14: 0 to 1 over held-out normal images."""
    return scale(scores, self.calibration)


def load(workdir: str | Path, *, protocol: str = 'last') -> Scorer:
  """Restores a trained model.

  Args:
    workdir: the run's folder.
    protocol: which checkpoint: 'last', or 'validation', the best by validation.

  Returns:
    The scorer.

  Raises:
    InputError: if the folder holds no run or no checkpoint, or there is no such protocol.
  """
  workdir, mesh = Path(workdir), sharding.make_mesh()
  config = runs.load_config(workdir)
  model = build_model(config)
  like = jax.eval_shape(functools.partial(create_state, model), config.seed)
  checkpoints = checkpoint.open_checkpoints(workdir)
  try:
    state, calibration = checkpoint.restore_scoring(
      checkpoints, like, sharding.replicated(mesh), protocol
    )
  finally:
    checkpoints.close()
  return Scorer(config, model, state, calibration, mesh)
