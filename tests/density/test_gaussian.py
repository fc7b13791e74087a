"""The density against scikit-learn, on real images."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.covariance import EmpiricalCovariance, ShrunkCovariance
from sklearn.linear_model import Ridge

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.density import gaussian, moments
from ocrgan_jax.density.band_statistics import CHANNELS, band_statistics, channel_indices
from ocrgan_jax.density.gaussian import Density, Gaussians
from ocrgan_jax.density.moments import Moments
from ocrgan_jax.scoring.similarity import ssim
from tests.conftest import DATA

PLAIN = Density(
  channels='energy,colour',
  regions=1,
  context=0,
  ridge=0.05,
  covariance_smoothing=0.0,
  shrinkage=0.1,
)
CHOSEN = list(channel_indices('energy,colour'))


@pytest.fixture(scope='module')
def statistics() -> np.ndarray:
  """Band statistics of 40 photographs of bottles at 32 pixels, float32 [40, 16, 16, C]."""
  paths = sorted((DATA / 'mvtec_ad/bottle/train/good').glob('*.png'))[:40]
  if not paths:
    pytest.skip(f'no real images at {DATA}; set OCRGAN_DATA_DIR')
  images = [np.asarray(Image.open(path).convert('RGB').resize((32, 32))) for path in paths]
  return np.asarray(jax.jit(band_statistics)(np.stack(images) / np.float32(127.5) - 1))


@functools.partial(jax.jit, static_argnums=(1, 2))
def accumulate(statistics: np.ndarray, batch: int, regions: int = 1) -> Moments:
  parts = []
  for start in range(0, len(statistics), batch):
    part = statistics[start : start + batch]
    padded = jnp.pad(part, ((0, batch - len(part)), (0, 0), (0, 0), (0, 0)), constant_values=99)
    parts.append(moments.batch_moments(padded, len(part), regions))
  return functools.reduce(moments.merge, parts)


def fitted(statistics: np.ndarray, **changes: object) -> Gaussians:
  settings = dataclasses.replace(PLAIN, **changes)
  moments = accumulate(statistics, 40, settings.regions)
  (gaussians,) = gaussian.fit(moments, settings, settings.lists)
  return gaussians


def cell(x: np.ndarray, row: int, column: int) -> np.ndarray:
  """The four positions of a cell, concatenated: [4 × images, …]."""
  part = x[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
  return part.transpose(1, 2, 0, 3).reshape(-1, part.shape[-1])


def reference_distances(residuals: np.ndarray, row: int, column: int) -> np.ndarray:
  """Squared distances of a cell, by scikit-learn's covariance and the least variance."""
  model = ShrunkCovariance(shrinkage=0.1, assume_centered=True)
  fit = lambda i, j: clone(model).fit(cell(residuals, i, j))
  mean = np.mean([np.diag(fit(i, j).covariance_) for i in range(8) for j in range(8)], axis=0)
  x, covariance = cell(residuals, row, column), fit(row, column).covariance_
  precision = np.linalg.inv(covariance + gaussian.VARIANCE_FLOOR * np.diag(mean))
  return np.einsum('bi,ij,bj->b', x, precision, x)


def test_distances_agree_with_scikit_learns_shrunk_covariance(statistics: np.ndarray) -> None:
  gaussians = fitted(statistics)
  distances = np.asarray(gaussian.mahalanobis(gaussians, statistics))
  deviations = (statistics - statistics.mean(0))[..., CHOSEN].astype(np.float64)
  for row, column in ((0, 0), (3, 5), (7, 7)):
    x = cell(deviations, row, column)
    found = cell(distances[..., None], row, column)[:, 0]
    np.testing.assert_allclose(found**2, reference_distances(deviations, row, column), rtol=1e-2)
    # The comparison is sharp enough: without shrinkage the distances differ.
    unshrunk = EmpiricalCovariance(assume_centered=True).fit(x).mahalanobis(x)
    assert np.abs(found**2 / unshrunk - 1).max() > 0.1


def test_products_have_full_precision_on_accelerators(statistics: np.ndarray) -> None:
  """Variances are differences of means, so the low default precision there is not enough."""
  gaussians, image = fitted(statistics, regions=2), jnp.zeros((1, 32, 32, 3))
  programs = [
    jax.jit(ssim).lower(image, image),
    jax.jit(band_statistics).lower(image),
    jax.jit(lambda x: moments.batch_moments(x, len(x), 2)).lower(statistics),
    jax.jit(gaussian.mahalanobis).lower(gaussians, statistics),
  ]
  for program in programs:
    products = [line for line in program.as_text().splitlines() if 'dot_general' in line]
    assert products and all('HIGHEST' in line for line in products)


@pytest.mark.parametrize('regions', [1, 2])
def test_the_response_to_the_image_is_ridge_regression(
  statistics: np.ndarray, regions: int
) -> None:
  gaussians = fitted(statistics, regions=regions, context=4)
  side = 16 // regions
  parts = [
    statistics[:, side * i : side * (i + 1), side * j : side * (j + 1)].mean((1, 2))
    for i in range(regions)
    for j in range(regions)
  ]
  means = np.concatenate(parts, axis=1).astype(np.float64)
  components = (means - means.mean(0)) @ gaussians.components
  assert components.shape == (40, 4)
  np.testing.assert_allclose(components.T @ components / 40, np.eye(4), atol=1e-3)
  deviations = (statistics - statistics.mean(0))[..., CHOSEN].astype(np.float64)
  x, g = cell(deviations, 2, 3), np.tile(components, (4, 1))
  ridge = Ridge(alpha=0.05 * len(g), fit_intercept=False).fit(g, x)
  np.testing.assert_allclose(gaussians.response[2, 3], ridge.coef_, atol=1e-3)
  response = np.repeat(np.repeat(gaussians.response, 2, axis=0), 2, axis=1)
  assert np.abs(components).max() < gaussian.COMPONENT_LIMIT
  residuals = deviations - np.einsum('hwck,bk->bhwc', response, components)
  distances = np.asarray(gaussian.mahalanobis(gaussians, statistics))
  found = cell(distances[..., None], 2, 3)[:, 0]
  np.testing.assert_allclose(found**2, reference_distances(residuals, 2, 3), rtol=1e-2)


def test_batches_and_their_padding_do_not_matter(statistics: np.ndarray) -> None:
  whole, parts = accumulate(statistics, 40), accumulate(statistics, 7)
  for first, second in zip(whole, parts, strict=True):
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-4)
  # Chan's update keeps the digits that a difference of large sums would lose.
  far = accumulate(statistics + np.float32(1000), 7)
  np.testing.assert_allclose(far.covariance, whole.covariance, rtol=0.02, atol=0.02)


def test_variation_between_images_is_no_defect() -> None:
  """Images vary in brightness, and a spot changes by as much."""
  rng = np.random.default_rng(0)
  noise = rng.normal(0, 0.01, (60, 8, 8, sum(CHANNELS.values()))).astype(np.float32)
  light = rng.normal(0, 1, (60, 1, 1, 1)).astype(np.float32)
  normal, test = noise[:50] + light[:50], noise[50:] + light[50:]
  spotted = test.copy()
  spotted[:, 3, 4] += 1.0
  top = lambda gaussians, x: np.asarray(gaussian.mahalanobis(gaussians, x)).max((1, 2))
  aware, unaware = fitted(normal, context=3), fitted(normal)
  assert top(aware, spotted).min() > 5 * top(aware, test).max()
  assert top(unaware, spotted).min() < top(unaware, test).max()


def test_unknown_statistics_are_named() -> None:
  with pytest.raises(InputError, match="density.channels names 'energie'"):
    dataclasses.replace(PLAIN, channels='energy + energie,colour')


def test_distances_of_several_lists_are_added_in_units_of_their_expectation(
  statistics: np.ndarray,
) -> None:
  settings = dataclasses.replace(PLAIN, channels='energy,colour + directions')
  fit = gaussian.fit(accumulate(statistics, 40), settings, settings.lists)
  first, second = (gaussian.mahalanobis(gaussians, statistics) for gaussians in fit)
  assert [len(gaussians.channels) for gaussians in fit] == [8, 16]
  expected = (first / np.sqrt(8) + second / np.sqrt(16)) / 2
  found = gaussian.distance(fit, statistics)
  np.testing.assert_allclose(found, expected, rtol=1e-5)
  assert 0.4 < found.mean() < 1.1  # shrinkage takes some of it


def test_slight_noise_on_a_constant_area_is_no_defect() -> None:
  rng = np.random.default_rng(0)
  normal = rng.normal(0, 1, (50, 8, 8, sum(CHANNELS.values()))).astype(np.float32)
  normal[:, :4] = 0  # an overexposed ground
  grain, defect = np.zeros_like(normal[:1]), np.zeros_like(normal[:1])
  grain[:, 1, 1], defect[:, 1, 1] = 0.01, 1
  gaussians = fitted(normal)
  far = lambda x: np.asarray(gaussian.mahalanobis(gaussians, x))[0, 1, 1] / np.sqrt(len(CHOSEN))
  assert far(grain) < 1 and far(defect) > 10


def test_a_large_defect_does_not_explain_itself_away() -> None:
  """Half of an image changes by far more than images vary."""
  rng = np.random.default_rng(0)
  light = rng.normal(0, 0.1, (60, 1, 1, 1))
  normal = (light + rng.normal(0, 0.01, (60, 8, 8, sum(CHANNELS.values())))).astype(np.float32)
  defect = normal[:1].copy()
  defect[:, :4] += 10
  gaussians = fitted(normal, context=3)
  distances = np.asarray(gaussian.mahalanobis(gaussians, defect))[0]
  assert distances[:4].min() > 5 * distances[4:].max()
