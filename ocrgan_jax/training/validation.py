"""Validates networks: scale of the scores, threshold, and the validation AUROC.

All of it uses held-out normal images alone. Test images are never used.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ocrgan_jax.core import sharding
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.data.images import NormalImages, reduce_tiles
from ocrgan_jax.model.device_batches import device_batches
from ocrgan_jax.model.inputs import forged_step
from ocrgan_jax.model.ocrgan import OCRGAN
from ocrgan_jax.model.score_step import score_step
from ocrgan_jax.model.state import State, Trained
from ocrgan_jax.scoring.calibration import Calibration, fit_calibration
from ocrgan_jax.scoring.metrics import image_auroc


class Validation(NamedTuple):
  """The result of validating a state.

  Attributes:
    trained: the state, and the unit of its anomaly maps.
    calibration: scale of the scores and threshold.
    auroc: of held-out images against their forged copies; 0.5 if there are none, so that the last
      checkpoint counts as the best.
  """

  trained: Trained
  calibration: Calibration
  auroc: float


def validate(
  model: OCRGAN, mesh: Mesh, normal: NormalImages, batch_size: int, state: State
) -> Validation:
  """Sets scale and threshold of a state, and validates it.

  Args:
    model: the static description.
    mesh: of the devices.
    normal: the run's normal images; only those that are held out are used.
    batch_size: number of images to score at once.
    state: to validate.

  Raises:
    InputError: if a score is not finite.
  """
  score = sharding.jit_over_batch(validation_step, mesh, model=model)
  forge = sharding.jit_over_batch(forged_step, mesh, makes_batch=True, model=model)
  found: list[dict[str, np.ndarray]] = []
  forged: list[np.ndarray] = []
  for batch, count in device_batches(normal.held_out, mesh, batch_size):
    values = jax.device_get(score(state, batch))
    found.append({name: value[:count] for name, value in values.items()})
    if not model.forgery.is_off:
      forged.append(jax.device_get(score(state, forge(state, batch))['score'])[:count])
  scores, means, maxima = (
    np.concatenate([values[name] for values in found]) for name in ('score', 'mean', 'maximum')
  )
  copies = np.concatenate([np.zeros(0, np.float32), *forged])
  if not np.isfinite([*scores, *copies]).all():
    raise InputError(
      f'scores of held-out images are not finite at step {int(state.step)}: the weights have '
      'diverged; lower train.learning_rate'
    )
  unit = np.float32(max(means.mean(dtype=np.float64), np.finfo(np.float32).tiny))
  if model.score.is_on_map:  # such scores are proportional to the map
    scores, copies = scores / unit, copies / unit
  calibration = fit_calibration(
    reduce_tiles(normal.held_out, scores),
    normal.held_out_groups,
    model.score,
    map_maximum=float(maxima.max() / unit),
  )
  labels = np.repeat([0, 1], [len(scores), len(copies)])
  auroc = image_auroc(labels, np.concatenate([scores, copies]))
  trained = Trained(state, jax.device_put(unit, sharding.replicated(mesh)))
  return Validation(trained, calibration, 0.5 if auroc is None else auroc)


def validation_step(state: State, images: jax.Array, *, model: OCRGAN) -> dict[str, jax.Array]:
  """Scores held-out images before the unit of maps is known.

  Args:
    state: to validate.
    images: uint8 [batch, size, size, 3 or 4].
    model: the static description.

  Returns:
    float32 [batch] each: `score`, and `mean` and `maximum` of the anomaly map.
  """
  values = score_step(Trained(state, jnp.float32(1)), images, model=model)
  maps = values['map']
  return {'score': values['score'], 'mean': maps.mean((1, 2)), 'maximum': maps.max((1, 2))}
