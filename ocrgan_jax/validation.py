"""Held-out normal images: the scale of the scores, and the validation of a checkpoint.

No test image has a part in either.
"""

import functools
from collections.abc import Callable, Iterator

import jax
import numpy as np
from jax.sharding import Mesh
from jax.stages import Wrapped as JitWrapped

from ocrgan_jax import scoring, sharding
from ocrgan_jax.data.pipeline import Images, evaluation_batches
from ocrgan_jax.metrics import image_auroc
from ocrgan_jax.model import OCRGAN
from ocrgan_jax.scoring import Calibration
from ocrgan_jax.state import State
from ocrgan_jax.step import forged_step, score_step


def make_validation(
  model: OCRGAN, mesh: Mesh, images: Images, batch_size: int
) -> Callable[[State], tuple[Calibration, float]]:
  """Makes the function that validates a state on held-out normal images.

  Args:
    model: the static description.
    mesh: of the devices.
    images: held-out normal ones.
    batch_size: of the batches they are scored in.

  Returns:
    A function from a state to the calibration of its scores and the AUROC of the
    held-out images against their own forged copies. Without forging there is
    nothing to tell apart and the AUROC is 0.5 by definition, so that the last of
    equals is the best.
  """
  score, forge = _programs(model, mesh)

  def batches() -> Iterator[tuple[jax.Array, int]]:
    for host_batch, count in evaluation_batches(
      images,
      batch_size,
      process_index=jax.process_index(),
      process_count=jax.process_count(),
    ):
      yield sharding.put_batch(host_batch, mesh), count

  def validate(state: State) -> tuple[Calibration, float]:
    one = np.ones([model.image_size] * 2, np.float32)
    total = np.zeros(one.shape, np.float64)
    for batch, count in batches():
      total += np.asarray(score(state, one, batch)[1])[:count].sum(0, dtype=np.float64)
    unit = scoring.map_unit(total / len(images), model.score.map_units)

    normal, forged, map_maximum = [], [], 0.0
    for batch, count in batches():
      scores, maps = score(state, unit, batch)
      normal.append(np.asarray(scores)[:count])
      map_maximum = max(map_maximum, float(np.asarray(maps)[:count].max()))
      if model.forges:
        forged.append(np.asarray(score(state, unit, forge(state, batch))[0])[:count])
    scores = np.concatenate(normal)
    calibration = scoring.calibrate(
      scores, model.score.threshold_quantile, map_unit=unit, map_maximum=map_maximum
    )
    if not forged:
      return calibration, 0.5
    labels = np.repeat([0, 1], len(scores))
    auroc = image_auroc(labels, np.concatenate([scores, *forged]))
    assert auroc is not None
    return calibration, auroc

  return validate


@functools.cache
def _programs(model: OCRGAN, mesh: Mesh) -> tuple[JitWrapped, JitWrapped]:
  return (
    sharding.jit_over_batch(functools.partial(_score_and_map, model=model), mesh, num_replicated=2),
    sharding.jit_over_batch(functools.partial(forged_step, model=model), mesh, makes_batch=True),
  )


def _score_and_map(
  state: State, map_unit: jax.Array, images: jax.Array, *, model: OCRGAN
) -> tuple[jax.Array, jax.Array]:
  outputs = score_step(state, map_unit, images, model=model)
  return outputs['score'], outputs['map']
