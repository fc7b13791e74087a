"""A Gaussian model of normal images at each position; the anomaly map is the distance from it.

Each position has a mean and, shared with its neighbours, a covariance of its statistics. Changes
of a whole image (lighting, the kind of texture) are not defects, so the statistics are conditioned
on the image's mean statistics over large regions: by ridge regression on their first principal
components. The distance is the Mahalanobis distance.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.ndimage import gaussian_filter1d

from ocrgan_jax.core.checks import at_least, between, check, power_of_two
from ocrgan_jax.core.errors import InputError
from ocrgan_jax.density.band_statistics import CHANNELS, channel_indices
from ocrgan_jax.density.moments import CELL, Moments, region_means, to_cells, to_positions

# Statistics that come from a network: the features of a pixel-wise D.
LEARNED = ('pixels',)
IMAGES_PER_COMPONENT = 5  # with fewer, the regression overfits single images
# Added to each variance, as a share of its mean over all positions. Without it, a grain of noise
# would be a defect where normal images never change, as on an overexposed background.
VARIANCE_FLOOR = 0.001
# Principal components of an image are clipped to this many standard deviations, so that a defect
# that fills half an image does not explain itself away.
COMPONENT_LIMIT = 4.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Density:
  """The config's section `density`.

  Attributes:
    channels: lists of statistics, separated by '+', as in 'energy,colour + pixels'. The names are
      those of `band_statistics.CHANNELS` and LEARNED. Each list gets a density of its own.
    regions: regions per side over which an image's mean statistics are taken.
    context: number of principal components of these means to condition on; 0 for none. At most
      one per IMAGES_PER_COMPONENT images is used.
    ridge: added to the components' unit variances.
    covariance_smoothing: standard deviation of the Gaussian that smooths the covariances, in
      cells of 2×2 positions. Means are not smoothed: at the edge of a product that does not move,
      a smoothed mean is far from the truth.
    shrinkage: s of (1 - s) C + s v I, where v is the mean variance of a covariance C.

  Raises:
    InputError: if a field is out of bounds or names an unknown statistic.
  """

  channels: str
  regions: int = power_of_two(1)
  context: int = at_least(0)
  ridge: float = at_least(0)
  covariance_smoothing: float = at_least(0)
  shrinkage: float = between(0, 1)

  def __post_init__(self) -> None:
    check(self, 'density')
    if unknown := self.names - {*CHANNELS, *LEARNED}:
      raise InputError(
        f'density.channels names {min(unknown)!r}; use lists of '
        f"{', '.join((*CHANNELS, *LEARNED))}, as in 'energy,colour + energy,directions'"
      )

  @property
  def names(self) -> set[str]:
    """The names of all statistics in use."""
    return {name for names in self.lists for name in names.split(',')}

  @property
  def learned(self) -> tuple[str, ...]:
    """The statistics in use that come from a network, in the order of LEARNED."""
    return tuple(name for name in LEARNED if name in self.names)

  @property
  def band_lists(self) -> tuple[str, ...]:
    """The lists that name only band statistics."""
    return tuple(names for names in self.lists if not {*names.split(',')} & {*LEARNED})

  @property
  def network_lists(self) -> tuple[str, ...]:
    """The lists that name a learned statistic."""
    return tuple(names for names in self.lists if names not in self.band_lists)

  @property
  def lists(self) -> tuple[str, ...]:
    """All lists of statistics."""
    return tuple(self.channels.replace(' ', '').split('+'))


class Gaussians(NamedTuple):
  """A density fitted to one list of statistics, saved with the model.

  Attributes:
    channels: indices of the list's channels, int32 [c].
    mean: float32 [h, w, c].
    region_mean: mean of the region means, float32 [regions, regions, C].
    components: principal components of the region means, scaled to unit variance, float32
      [regions² C, k].
    response: regression coefficients of a position on the components, float32
      [h / 2, w / 2, c, k].
    whitening: whitening matrix of the residuals, float32 [h / 2, w / 2, c, c].
  """

  channels: Any
  mean: Any
  region_mean: Any
  components: Any
  response: Any
  whitening: Any


def fit(
  moments: Moments, settings: Density, lists: Sequence[str], sizes: dict[str, int] = CHANNELS
) -> tuple[Gaussians, ...]:
  """Fits a density to the moments of normal images.

  Args:
    moments: of at least one image.
    settings: of the density.
    lists: of statistics, as in `settings.lists`.
    sizes: all statistics in the moments, in order: name → number of channels.

  Returns:
    The Gaussians of each list, on the host.
  """
  return tuple(_fit_list(moments, settings, names, sizes) for names in lists)


def _fit_list(moments: Moments, settings: Density, names: str, sizes: dict[str, int]) -> Gaussians:
  chosen = np.array(channel_indices(names, sizes), np.int32)
  mean = np.asarray(moments.mean, np.float64)
  scale = 1 / (CELL**2 * float(moments.num_images))
  covariance = np.asarray(moments.covariance)[..., chosen, :][..., chosen] * scale
  with_context = np.asarray(moments.context)  # [h / 2, w / 2, C, regions² C]
  # Averaged over a region, the covariance with the context is the context's own covariance.
  own = _mean_over_regions(with_context, settings.regions) * scale
  count = min(settings.context, int(moments.num_images) // IMAGES_PER_COMPONENT)
  components = _components(own.reshape(own.shape[0] ** 2 * own.shape[2], -1), count)
  scaled = scale * components
  response = np.stack([row[:, chosen] @ scaled for row in with_context])  # by row, to save memory
  # The residuals are x - R g, where g has unit variance and R = M / (1 + ridge), with M the
  # covariance of x and g. Their covariance is that of x minus M R' + R M' - R R'.
  with_components, response = response, response / (1 + settings.ridge)
  response = _smooth(response, settings.covariance_smoothing)
  cross = with_components @ response.swapaxes(-1, -2)
  covariance = covariance - cross - cross.swapaxes(-1, -2) + response @ response.swapaxes(-1, -2)
  covariance = _smooth(covariance, settings.covariance_smoothing)
  whitening = whitening_of(covariance, settings.shrinkage)
  single = lambda x: np.ascontiguousarray(x, np.float32)
  return Gaussians(
    channels=chosen,
    mean=single(mean[..., chosen]),
    region_mean=single(_mean_over_regions(mean, settings.regions)),
    components=single(components),
    response=single(response),
    whitening=single(whitening),
  )


def whitening_of(covariance: np.ndarray, shrinkage: float) -> np.ndarray:
  """Inverts covariances, kept away from singular ones.

  Args:
    covariance: float64 [h, w, c, c], one for each position.
    shrinkage: see `Density.shrinkage`.

  Returns:
    W with W C W' = I, float64 [h, w, c, c], where C is the shrunk covariance plus VARIANCE_FLOOR.
  """
  width = covariance.shape[-1]
  variance = np.trace(covariance, axis1=-2, axis2=-1)[..., None, None] / width
  least = np.finfo(np.float32).eps
  covariance = (1 - shrinkage) * covariance + (shrinkage * variance + least) * np.eye(width)
  covariance += VARIANCE_FLOOR * np.diag(np.einsum('hwii->hwi', covariance).mean((0, 1)))
  return np.linalg.inv(np.linalg.cholesky(covariance))


def distance(fitted: Sequence[Gaussians], statistics: jax.Array) -> jax.Array:
  """Computes how far each position is from normal images.

  Args:
    fitted: from `fit`.
    statistics: float32 [batch, h, w, C].

  Returns:
    float32 [batch, h, w]. The Mahalanobis distance of each list is divided by the square root of
    its number of channels, so that normal images reach about 1; then the lists are averaged.
  """
  terms = [
    mahalanobis(gaussians, statistics) / math.sqrt(len(gaussians.channels)) for gaussians in fitted
  ]
  return sum(terms[1:], terms[0]) / len(terms)


def mahalanobis(gaussians: Gaussians, statistics: jax.Array) -> jax.Array:
  """The Mahalanobis distance of each position: float32 [batch, h, w, C] → [batch, h, w]."""
  return to_positions(jnp.sqrt(jnp.square(_whitened_cells(gaussians, statistics)).sum(-1)))


def deviations(fitted: Sequence[Gaussians], statistics: jax.Array) -> jax.Array:
  """Computes the whitened deviations of each position, of variance 1 over normal images.

  Args:
    fitted: from `fit`.
    statistics: float32 [batch, h, w, C].

  Returns:
    float32 [batch, h, w, c], the lists concatenated.
  """
  parts = [to_positions(_whitened_cells(gaussians, statistics)) for gaussians in fitted]
  return jnp.concatenate(parts, axis=-1)


def pad_components(fitted: Sequence[Gaussians], context: int) -> tuple[Gaussians, ...]:
  """Pads the densities with zero components, so that their shapes do not depend on the data."""

  def pad(x: np.ndarray) -> np.ndarray:
    return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, context - x.shape[-1])])

  return tuple(
    part._replace(components=pad(part.components), response=pad(part.response)) for part in fitted
  )


def empty(settings: Density, names: str, size: int) -> Gaussians:
  """Builds a placeholder for a density of band statistics, shaped as `pad_components` returns it.

  Args:
    settings: of the density.
    names: the list of statistics.
    size: side of the images in pixels.

  Returns:
    Gaussians of zeros, with the list's channels.
  """
  chosen = np.array(channel_indices(names), np.int32)
  half, cells, total = size // 2, size // 2 // CELL, sum(CHANNELS.values())
  zeros = lambda *shape: jnp.zeros(shape, jnp.float32)
  return Gaussians(
    channels=chosen,
    mean=zeros(half, half, len(chosen)),
    region_mean=zeros(settings.regions, settings.regions, total),
    components=zeros(settings.regions**2 * total, settings.context),
    response=zeros(cells, cells, len(chosen), settings.context),
    whitening=zeros(cells, cells, len(chosen), len(chosen)),
  )


def _whitened_cells(gaussians: Gaussians, statistics: jax.Array) -> jax.Array:
  """[batch, h, w, C] → [batch, h / 2, w / 2, 4, c]."""
  # A density that was fitted before training knows only the band statistics.
  known = statistics[..., : gaussians.region_mean.shape[-1]]
  regions = region_means(known, len(gaussians.region_mean)) - gaussians.region_mean
  regions = regions.reshape(statistics.shape[0], -1)
  components = jnp.matmul(regions, gaussians.components, precision='highest')
  components = jnp.clip(components, -COMPONENT_LIMIT, COMPONENT_LIMIT)
  expected = jnp.einsum('hwck,bk->bhwc', gaussians.response, components, precision='highest')
  cells = to_cells(statistics[..., gaussians.channels] - gaussians.mean)
  cells = cells - expected[:, :, :, None]
  return jnp.einsum('hwij,bhwpj->bhwpi', gaussians.whitening, cells, precision='highest')


def _mean_over_regions(x: np.ndarray, regions: int) -> np.ndarray:
  """`region_means` of the first two axes: [h, w, …] → [regions, regions, …]."""
  height, width = x.shape[:2]
  x = x.reshape(regions, height // regions, regions, width // regions, *x.shape[2:])
  return x.mean((1, 3), dtype=np.float64)


def _components(covariance: np.ndarray, count: int) -> np.ndarray:
  """Principal components of standardised statistics, scaled to unit variance: [C, k]."""
  covariance = (covariance + covariance.T) / 2
  deviations = np.sqrt(np.maximum(np.diag(covariance), np.finfo(np.float32).eps))
  values, vectors = np.linalg.eigh(covariance / np.outer(deviations, deviations))
  order = [i for i in np.argsort(-values)[:count] if values[i] > 1e-6]
  return vectors[:, order] / np.sqrt(values[order]) / deviations[:, None]


def _smooth(x: np.ndarray, sigma: float) -> np.ndarray:
  """Smooths along the first two axes."""
  if not sigma:
    return x
  for axis in (0, 1):
    x = gaussian_filter1d(x, sigma, axis=axis)
  return x
