"""Trains and scores on meshes of 1 and 8 devices; test_sharding.py runs it with 8 simulated ones.

python -m tests.core.devices <run> <file for the results>
"""

import dataclasses
import sys

import jax
import numpy as np

from ocrgan_jax.core import sharding
from ocrgan_jax.inference.loading import load
from ocrgan_jax.model.inputs import forged_step
from ocrgan_jax.model.state import initial_state
from ocrgan_jax.training.step import train_step
from tests.conftest import tiny_model

workdir, output = sys.argv[1:]
images = np.random.default_rng(0).integers(0, 256, (5, 16, 32, 32, 3), dtype=np.uint8)
model, results = tiny_model(), {}
new_state, scorer = initial_state(model, 0), load(workdir)
for count in (1, 8):
  mesh = sharding.make_mesh(jax.devices()[:count])
  step = sharding.jit_over_batch(train_step, mesh, donate=True, model=model)
  state = jax.device_put(jax.device_get(new_state), sharding.replicated(mesh))
  for batch in images:
    state, metrics = step(state, sharding.put_batch(batch, mesh))
  there = jax.device_put(jax.device_get(scorer.arrays), sharding.replicated(mesh))
  scores = dataclasses.replace(scorer, arrays=there, mesh=mesh).score(images[0])
  forge = sharding.jit_over_batch(forged_step, mesh, makes_batch=True, model=model)
  forged = forge(there.state, sharding.put_batch(images[0], mesh))
  leaves = {jax.tree_util.keystr(path): x for path, x in jax.tree_util.tree_leaves_with_path(state)}
  arrays = {**leaves, 'scores': scores, 'forged': forged, 'loss': metrics['generator']}
  results |= {f'{count}/{name}': np.asarray(array) for name, array in arrays.items()}
np.savez(output, **results)
