"""Sets the scale of the scores and the threshold, and computes the validation AUROC.

All of it uses normal images alone, held-out ones if networks are trained. Test images are never
used.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jax.stages import Wrapped as JitWrapped

from ocrgan_jax.core import sharding
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.images import NormalImages, reduce_tiles
from ocrgan_jax.model.inputs import forged_step
from ocrgan_jax.model.ocrgan import OCRGAN
from ocrgan_jax.model.score_step import map_step, score_step
from ocrgan_jax.model.state import State
from ocrgan_jax.scoring import anomaly_score
from ocrgan_jax.scoring.anomaly_score import Reference
from ocrgan_jax.scoring.calibration import Calibration, calibrate
from ocrgan_jax.scoring.metrics import image_auroc
from ocrgan_jax.training.device_batches import device_batches
from ocrgan_jax.training.heads import fit_heads


class Validation(NamedTuple):
  """The result of validating a state.

  Attributes:
    calibration: scale of the scores, threshold and, if they score, heads.
    auroc: of held-out images against their forged copies; 0.5 if there are none, so that the last
      checkpoint counts as the best.
  """

  calibration: Calibration
  auroc: float


@dataclasses.dataclass(frozen=True)
class Validator:
  """Validates states of one model.

  Attributes:
    model: the static description.
    mesh: of the devices.
    normal: the run's normal images. Heads are fitted to all of them; else only those that are held
      out are used.
    batch_size: number of images to score at once.
  """

  model: OCRGAN
  mesh: Mesh
  normal: NormalImages
  batch_size: int

  def __call__(self, state: State) -> Validation:
    """Sets scale and threshold of a state, and validates it.

    Raises:
      InputError: if a score is not finite.
    """
    if self.model.score.kind == anomaly_score.HEADS:
      return Validation(fit_heads(self.model, self.mesh, self.normal, self.batch_size), 0.5)
    reference = Reference(self._map_unit(state))
    normal, forged, map_maximum = self._score_held_out(state, reference)
    if not np.isfinite([*normal, *forged]).all():
      raise InputError(
        f'scores of held-out images are not finite at step {int(state.step)}: the weights have '
        'diverged; lower train.learning_rate'
      )
    calibration = calibrate(
      reduce_tiles(self.normal.held_out, normal),
      self.model.score,
      map_unit=reference.map_unit,
      map_maximum=map_maximum,
      num_groups=self.normal.num_held_out_groups,
    )
    if not len(forged):
      return Validation(calibration, 0.5)
    labels = np.repeat([0, 1], [len(normal), len(forged)])
    auroc = image_auroc(labels, np.concatenate([normal, forged]))
    assert auroc is not None
    return Validation(calibration, auroc)

  def _map_unit(self, state: State) -> np.ndarray:
    """Computes the map unit from the mean anomaly map of the held-out images."""
    total = np.zeros([self.model.image_size] * 2, np.float64)
    for batch, count in device_batches(self.normal.held_out, self.mesh, self.batch_size):
      maps = _compile(self.model, self.mesh).map(state, batch)
      total += np.asarray(maps)[:count].sum(0, dtype=np.float64)
    return anomaly_score.map_unit(total / len(self.normal.held_out))

  def _score_held_out(
    self, state: State, reference: Reference
  ) -> tuple[np.ndarray, np.ndarray, float]:
    """Scores held-out images and their forged copies; also returns the highest map value."""
    programs, model = _compile(self.model, self.mesh), self.model
    normal, forged, map_maximum = [], [], 0.0
    for batch, count in device_batches(self.normal.held_out, self.mesh, self.batch_size):
      scores, maps = programs.score(state, reference, batch)
      normal.append(np.asarray(scores)[:count])
      map_maximum = max(map_maximum, float(np.asarray(maps)[:count].max()))
      if not model.forgery.is_off:
        copies = programs.forge(state, batch)
        forged.append(np.asarray(programs.score(state, reference, copies)[0])[:count])
    return np.concatenate(normal), np.concatenate([np.zeros(0, np.float32), *forged]), map_maximum


class _Programs(NamedTuple):
  score: JitWrapped
  map: JitWrapped
  forge: JitWrapped


@functools.cache
def _compile(model: OCRGAN, mesh: Mesh) -> _Programs:
  jit = functools.partial(sharding.jit_over_batch, mesh=mesh)
  return _Programs(
    jit(functools.partial(_score_and_map, model=model), num_replicated=2),
    jit(functools.partial(map_step, model=model), num_replicated=1),
    jit(functools.partial(forged_step, model=model), num_replicated=1, makes_batch=True),
  )


def _score_and_map(
  state: State, reference: Reference, images: jax.Array, *, model: OCRGAN
) -> tuple[jax.Array, jax.Array]:
  outputs = score_step(state, reference, images, model=model)
  return outputs['score'], outputs['map']
