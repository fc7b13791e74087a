import pytest

from ocrgan_jax.configs import cifar10, dagm, default, kolektor, mvtec
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.model.settings import build_model
from tests.conftest import tiny_config, tiny_model


@pytest.mark.parametrize(
  ('field', 'value', 'message'),
  [
    ('image_size', 100, 'power of two from 32'),
    ('image_size', 16, 'power of two from 32'),
    ('image_size', 0, 'power of two from 32'),
    ('model__width', 0, 'model.width is 0; it must be at least 1'),
    ('model__branches', 0, 'model.branches is 0'),
    ('model__bands', '3', 'model.branches = 2'),
    ('model__bands', 'high', "must be 'all' or numbers"),
    ('loss__adversarial_form', 'wgan', 'one of bce, expectation'),
    ('score__content_distance', 'l3', 'one of l1, squared'),
    ('score__content_weight', 1.5, 'between 0 and 1'),
    ('loss__latent', -1.0, 'at least 0'),
    ('seed', -1, 'seed is -1; it must be at least 0'),
    ('seed', 2**31, 'under 2'),
    ('data__workers', -1, 'data.workers is -1'),
    ('train__epochs', -1, 'train.epochs is -1; it must be at least 0'),
    ('train__learning_rate', float('nan'), 'train.learning_rate is nan'),
    ('model__bands', '²', "must be 'all' or numbers"),
  ],
)
def test_invalid_fields_are_named(field: str, value: object, message: str) -> None:
  with pytest.raises(InputError, match=message):
    build_model(tiny_config('', **{field: value}))


def test_contradictions_are_refused() -> None:
  with pytest.raises(InputError, match=r'train.epochs is 0, so there are no networks'):
    tiny_model(train__epochs=0)
  with pytest.raises(InputError, match='G has no loss'):
    tiny_model(loss__content=0.0, loss__adversarial=0.0, loss__latent=0.0)


def test_bands_are_numbered_from_1() -> None:
  assert tiny_model(model__branches=3).bands == (0, 1, 2)
  assert tiny_model(model__branches=3, model__bands='3,1').bands == (0, 2)


def test_discriminator_is_as_wide_as_the_generator_unless_set() -> None:
  config = tiny_config('', model__width=4)
  assert build_model(config).discriminator.width == 4
  config.model.discriminator_width = 64
  assert build_model(config).discriminator.width == 64
  assert build_model(config).generator.width == 4


def test_a_misspelt_field_of_a_users_own_config_file_is_named() -> None:
  config = tiny_config('')
  config.model.widht = 3
  with pytest.raises(InputError, match='unknown config field model.widht'):
    build_model(config)


def test_recipes_are_what_the_paper_and_its_release_state() -> None:
  paper, release = default.get_config('paper'), default.get_config('release')
  of = lambda config: (config.train.learning_rate, config.train.weight_decay)
  assert (of(paper), of(release)) == ((2e-3, 1e-4), (2e-4, 0))
  assert (paper.train.beta1, paper.train.beta2) == (0.5, 0.999)
  assert (paper.train.epochs, paper.train.steps) == (200, 0)
  assert (paper.loss.content, paper.loss.adversarial, paper.loss.latent) == (50, 1, 1)
  assert (paper.score.kind, paper.score.content_weight) == ('eq13', 0.9)
  assert (paper.model.width, paper.model.branches) == (64, 2)
  sizes = {
    module: (module.get_config().image_size, module.get_config().train.batch_size)
    for module in (mvtec, dagm, kolektor, cifar10)
  }
  assert sizes == {mvtec: (256, 32), dagm: (256, 64), kolektor: (256, 64), cifar10: (32, 64)}


def test_equal_configs_give_equal_models() -> None:
  first, second = (build_model(tiny_config('')) for _ in range(2))
  assert first == second and hash(first) == hash(second)
  assert first != build_model(tiny_config('', train__learning_rate=1e-3))
