import functools

import jax
import numpy as np
import pytest

from ocrgan_jax.model.score_step import score_step
from ocrgan_jax.model.state import Trained, create_state
from tests.conftest import tiny_model


@pytest.mark.parametrize('fields', [{'model__branches': 1}, {'model__channel_selection': False}])
def test_models_without_channel_selection_are_scored(fields: dict[str, object]) -> None:
  """There are no channel weights to collect then. Only shapes are computed here."""
  model = tiny_model(**fields)
  state = jax.eval_shape(functools.partial(create_state, model), 0)
  trained = Trained(state, np.float32(1))
  images = jax.ShapeDtypeStruct((4, 32, 32, 3), np.uint8)
  scores = jax.eval_shape(functools.partial(score_step, model=model), trained, images)
  assert scores['score'].shape == (4,)
