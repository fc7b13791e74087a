from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ocrgan_jax.core import sharding
from ocrgan_jax.core.sharding import jit_over_batch, make_mesh
from ocrgan_jax.model.state import initial_state
from ocrgan_jax.networks.convolutions import strided_conv
from ocrgan_jax.training.networks import compile_step
from tests.conftest import run_python, tiny_model, with_devices


@pytest.mark.slow
def test_1_and_8_devices_train_and_score_alike(trained: Path, tmp_path: Path) -> None:
  """Five steps, with batch statistics over the whole batch however it is split."""
  output = tmp_path / 'out.npz'
  done = run_python('-m', 'tests.core.devices', str(trained), str(output), **with_devices(8))
  assert done.returncode == 0, done.stderr
  with np.load(output) as results:
    names = [name.removeprefix('1/') for name in results if name.startswith('1/')]
    assert len(names) > 300
    for name in names:
      found, expected = results[f'8/{name}'], results[f'1/{name}']
      np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5, err_msg=name)


def test_the_cpu_compiler_keeps_optimization_barriers() -> None:
  """Without them it would compute a layer's gradient again for the kernel's."""
  gradient = jax.grad(lambda kernel, x: jnp.tanh(strided_conv(x, kernel)).sum())
  mesh = make_mesh(jax.devices('cpu')[:1])
  arguments = jnp.zeros((4, 4, 4, 8)), jnp.zeros((2, 32, 32, 4))
  compiled = jit_over_batch(gradient, mesh).lower(*arguments).compile()
  assert 'opt-barrier' in (compiled.as_text() or '')


def test_training_is_the_same_with_layouts_of_the_compilers_choice(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  """Accelerators choose them; here a CPU is taken for one."""
  model, mesh = tiny_model(), make_mesh(jax.devices('cpu')[:1])
  images = np.random.default_rng(0).integers(0, 256, (3, 8, 32, 32, 3), dtype=np.uint8)
  found = []
  for on_cpu in (True, False):
    monkeypatch.setattr(sharding, '_on_cpu', lambda mesh, on_cpu=on_cpu: on_cpu)
    for cache in (compile_step, sharding.jit_over_batch):
      cache.cache_clear()
    state = jax.device_put(initial_state(model, 0), sharding.replicated(mesh))
    step = compile_step(model, mesh, 8)
    state = sharding.in_layout(step, state)
    for batch in images:
      state, losses = step(state, sharding.put_batch(batch, mesh))
    assert int(state.step) == 3
    found.append({**losses, 'weights': jax.tree.leaves(state.generator.params)[0]})
  for cache in (compile_step, sharding.jit_over_batch):  # programs that take this CPU for another
    cache.cache_clear()
  for name, loss in found[0].items():
    np.testing.assert_allclose(found[1][name], loss, rtol=1e-4, atol=1e-5, err_msg=name)
