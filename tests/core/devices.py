"""Trains and scores on meshes of 1 and 8 devices; test_sharding.py runs it with 8 simulated ones.

python -m tests.core.devices <run> <file for the results>
"""

import dataclasses
import functools
import sys

import jax
import numpy as np

from ocrgan_jax.core import sharding
from ocrgan_jax.inference.loading import load
from ocrgan_jax.model.inputs import forged_step
from ocrgan_jax.model.state import create_state
from ocrgan_jax.training.step import train_step
from tests.conftest import tiny_model

workdir, output = sys.argv[1:]
images = np.random.default_rng(0).integers(0, 256, (5, 16, 32, 32, 3), dtype=np.uint8)
model, results = tiny_model(), {}
new_state, scorer = jax.jit(functools.partial(create_state, model))(0), load(workdir)
for count in (1, 8):
  mesh = sharding.make_mesh(jax.devices()[:count])
  step = sharding.jit_over_batch(functools.partial(train_step, model=model), mesh, donate=True)
  state = jax.device_put(jax.device_get(new_state), sharding.replicated(mesh))
  for batch in images:
    state, metrics = step(state, sharding.put_batch(batch, mesh))
  there = jax.device_put(jax.device_get(scorer.state), sharding.replicated(mesh))
  scores = dataclasses.replace(scorer, state=there, mesh=mesh).score(images[0])
  forge = functools.partial(forged_step, model=model)
  forge = sharding.jit_over_batch(forge, mesh, makes_batch=True)
  forged = forge(there, sharding.put_batch(images[0], mesh))
  leaves = {jax.tree_util.keystr(path): x for path, x in jax.tree_util.tree_leaves_with_path(state)}
  arrays = {**leaves, 'scores': scores, 'forged': forged, 'loss': metrics['generator']}
  results |= {f'{count}/{name}': np.asarray(array) for name, array in arrays.items()}
np.savez(output, **results)
