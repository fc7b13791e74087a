import jax
import jax.numpy as jnp
import pytest

from ocrgan_jax.networks import Generator


def parameters(size: int, width: int, branches: int, channel_selection: bool = True) -> dict:
  module = Generator(width, channel_selection=channel_selection)
  bands = [jnp.zeros((1, size, size, 3))] * branches
  return jax.eval_shape(lambda: module.init(jax.random.key(0), bands, train=False))['params']


def count(tree: dict) -> int:
  return sum(leaf.size for leaf in jax.tree.leaves(tree))


# The counts of the layer table, worked out from it and equal to the release's.
@pytest.mark.parametrize(
  ('size', 'width', 'branch_parameters', 'selection_parameters'),
  [(256, 64, 108_827_910, 2_102_624), (32, 64, 33_318_150, 919_136), (256, 4, 427_350, 18_680)],
)
def test_parameter_counts(
  size: int, width: int, branch_parameters: int, selection_parameters: int
) -> None:
  params = parameters(size, width, 2)
  selection = {name: p for name, p in params.items() if name.startswith('cs')}
  assert len(selection) == size.bit_length() - 1  # at every encoder stage
  assert count(selection) == selection_parameters
  assert count(params) == branch_parameters + selection_parameters
  # Without CS, and with one branch, there are the plain U-Nets alone.
  assert count(parameters(size, width, 2, channel_selection=False)) == branch_parameters
  assert count(parameters(size, width, 1)) == branch_parameters // 2


def initialised(module: Generator, bands: list[jax.Array]) -> dict:
  return jax.jit(lambda: module.init(jax.random.key(1), bands, train=False))()


def reconstruct(module: Generator, variables: dict, bands: list[jax.Array]) -> list[jax.Array]:
  return jax.jit(lambda v, b: module.apply(v, b, train=False))(variables, bands)


@pytest.mark.parametrize(('size', 'branches'), [(32, 1), (64, 3)])
def test_each_band_is_reconstructed_at_its_size(size: int, branches: int) -> None:
  module = Generator(2)
  bands = list(jax.random.normal(jax.random.key(0), (branches, 2, size, size, 3)))
  outputs = reconstruct(module, initialised(module, bands), bands)
  assert [out.shape for out in outputs] == [(2, size, size, 3)] * branches
  assert all(jnp.abs(out).max() < 1 for out in outputs)


@pytest.mark.parametrize('channel_selection', [False, True])
def test_branches_talk_through_channel_selection_alone(channel_selection: bool) -> None:
  module = Generator(2, channel_selection=channel_selection)
  low, high, other = jax.random.normal(jax.random.key(0), (3, 1, 32, 32, 3))
  variables = initialised(module, [low, high])
  first = reconstruct(module, variables, [low, high])[0]
  second = reconstruct(module, variables, [low, other])[0]
  assert bool((first == second).all()) != channel_selection


def test_bfloat16_affects_only_the_computation() -> None:
  generator = Generator(2, dtype=jnp.bfloat16)
  bands = [jnp.zeros((1, 32, 32, 3))] * 2
  variables = jax.eval_shape(lambda: generator.init(jax.random.key(0), bands, train=False))
  assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype('float32')}
  apply = lambda v: generator.apply(v, bands, train=False)
  assert {made.dtype for made in jax.eval_shape(apply, variables)} == {jnp.dtype('float32')}
  assert 'bf16' in str(jax.make_jaxpr(apply)(variables))
