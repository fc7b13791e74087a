"""The density against scikit-learn, on real images."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from sklearn.covariance import EmpiricalCovariance, ShrunkCovariance
from sklearn.linear_model import Ridge

from ocrgan_jax import density
from ocrgan_jax.band_statistics import CHANNELS, band_statistics, channel_indices
from ocrgan_jax.density import Density, Gaussians, Moments
from ocrgan_jax.errors import InputError
from tests.conftest import DATA

PLAIN = Density(
  channels='energy,colour',
  regions=1,
  context=0,
  ridge=0.05,
  mean_smoothing=0.0,
  covariance_smoothing=0.0,
  shrinkage=0.1,
)
CHOSEN = list(channel_indices('energy,colour'))


@pytest.fixture(scope='module')
def statistics() -> np.ndarray:
  """Of 40 photographs of bottles at 32 pixels: float32 [40, 16, 16, C]."""
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
    parts.append(density.moments_of(padded, len(part), regions))
  return functools.reduce(density.merge, parts)


def fitted(statistics: np.ndarray, **changes: object) -> Gaussians:
  settings = dataclasses.replace(PLAIN, **changes)
  moments = accumulate(statistics, 40, settings.regions)
  (gaussians,) = density.fit(moments, settings, settings.candidates[0])
  return gaussians


def cell(x: np.ndarray, row: int, column: int) -> np.ndarray:
  """The four positions of a cell, one after the other: [4 images, …]."""
  part = x[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
  return part.transpose(1, 2, 0, 3).reshape(-1, part.shape[-1])


def test_distances_are_those_of_scikit_learns_shrunk_covariance(statistics: np.ndarray) -> None:
  gaussians = fitted(statistics)
  distances = np.asarray(density.mahalanobis(gaussians, statistics))
  deviations = (statistics - statistics.mean(0))[..., CHOSEN].astype(np.float64)
  for row, column in ((0, 0), (3, 5), (7, 7)):
    x = cell(deviations, row, column)
    reference = ShrunkCovariance(shrinkage=0.1, assume_centered=True).fit(x)
    found = cell(distances[..., None], row, column)[:, 0]
    np.testing.assert_allclose(found**2, reference.mahalanobis(x), rtol=1e-2)
    # Far more than rounding: without shrinkage they are other distances.
    unshrunk = EmpiricalCovariance(assume_centered=True).fit(x).mahalanobis(x)
    assert np.abs(found**2 / unshrunk - 1).max() > 0.1


@pytest.mark.parametrize('regions', [1, 2])
def test_positions_are_judged_given_the_image_by_ridge_regression(
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
  residuals = x - ridge.predict(g)
  reference = ShrunkCovariance(shrinkage=0.1, assume_centered=True).fit(residuals)
  distances = np.asarray(density.mahalanobis(gaussians, statistics))
  found = cell(distances[..., None], 2, 3)[:, 0]
  np.testing.assert_allclose(found**2, reference.mahalanobis(residuals), rtol=1e-2)


def test_batches_and_their_padding_do_not_matter(statistics: np.ndarray) -> None:
  whole, parts = accumulate(statistics, 40), accumulate(statistics, 7)
  for first, second in zip(whole, parts, strict=True):
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-4)
  # Chan's update keeps the digits that a difference of large sums would lose.
  far = accumulate(statistics + np.float32(1000), 7)
  np.testing.assert_allclose(far.covariance, whole.covariance, rtol=0.02, atol=0.02)


def test_what_varies_from_image_to_image_is_no_defect() -> None:
  """Brightness that training images differ in, and a spot of the same size of change."""
  rng = np.random.default_rng(0)
  noise = rng.normal(0, 0.01, (60, 8, 8, sum(CHANNELS.values()))).astype(np.float32)
  light = rng.normal(0, 1, (60, 1, 1, 1)).astype(np.float32)
  normal, test = noise[:50] + light[:50], noise[50:] + light[50:]
  spotted = test.copy()
  spotted[:, 3, 4] += 1.0
  top = lambda gaussians, x: np.asarray(density.mahalanobis(gaussians, x)).max((1, 2))
  aware, unaware = fitted(normal, context=3), fitted(normal)
  assert top(aware, spotted).min() > 5 * top(aware, test).max()
  assert top(unaware, spotted).min() < top(unaware, test).max()


def test_statistics_that_do_not_exist_are_named() -> None:
  with pytest.raises(InputError, match="density.channels names 'energie'"):
    dataclasses.replace(PLAIN, channels='energy;energie,colour')


def test_distances_of_several_lists_are_added_in_units_of_their_expectation(
  statistics: np.ndarray,
) -> None:
  settings = dataclasses.replace(PLAIN, channels='energy,colour + directions')
  fit = density.fit(accumulate(statistics, 40), settings, settings.candidates[0])
  first, second = (density.mahalanobis(gaussians, statistics) for gaussians in fit)
  assert [len(gaussians.channels) for gaussians in fit] == [8, 16]
  expected = (first / np.sqrt(8) + second / np.sqrt(16)) / 2
  found = density.distance(fit, statistics)
  np.testing.assert_allclose(found, expected, rtol=1e-5)
  assert 0.4 < found.mean() < 1.1  # shrinkage takes some of it


def test_sharp_edges_in_what_networks_learned_are_normal() -> None:
  """At an edge that every image has a smoothed mean would be far from all of them."""
  rng = np.random.default_rng(0)
  bands = sum(CHANNELS.values())
  images = rng.normal(0, 0.01, (50, 8, 8, bands + 1)).astype(np.float32)
  images[:, :, 4:, bands:] += 1  # an edge in the one learned channel
  settings = dataclasses.replace(PLAIN, channels='pixels', mean_smoothing=1.0)
  sizes = {**CHANNELS, 'pixels': 1}
  fit = density.fit(accumulate(images, 50), settings, settings.candidates[0], sizes)
  assert np.asarray(density.distance(fit, images)).mean() < 1.1
