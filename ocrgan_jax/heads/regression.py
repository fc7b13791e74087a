"""Explains an image by all training images: ridge regression in its dual form.

The inputs are an image's whitened statistics at a few positions. From them the regression predicts
the statistics everywhere, as far as normal images allow; what is left over is the anomaly. It is
linear, so that leaving out a group of training images has a closed form: with the hat matrix H and
the residuals r, the residuals of a group g when its images are left out are (I - H_gg)⁻¹ r_g
(Allen's PRESS statistic, for groups).
"""

from typing import NamedTuple

import numpy as np

RIDGE = 0.3  # λ, as a share of the mean of the Gram matrix's diagonal
COMPONENTS = 128  # of the training images that are kept for scoring
SMALLEST = 1e-6  # keeps I - H_gg invertible


class Regression(NamedTuple):
  """A regression on n training images.

  Attributes:
    left_out: float32 [n, n]: maps targets [n, …] of the training images, less their mean, to the
      residuals that each has when its group is left out.
    basis: float32 [d, k]: maps inputs to k coefficients.
    gains: float32 [k, n]: maps targets, less their mean, to the response of each coefficient.
  """

  left_out: np.ndarray
  basis: np.ndarray
  gains: np.ndarray


def fit_regression(
  inputs: np.ndarray, groups: np.ndarray, components: int = COMPONENTS
) -> Regression:
  """Fits the regression.

  Args:
    inputs: float [n, d] of the training images, less their mean.
    groups: int [n], the group of each image; images of one group are left out together.
    components: k; those beyond the n that there are, are 0.

  Returns:
    The regression. If n is above k, `basis` and `gains` keep only the strongest principal
    components; those left away have the least weight, because ridge regression damps them most.
  """
  n = len(inputs)
  gram = np.asarray(inputs @ inputs.T, np.float64)
  values, vectors = np.linalg.eigh(gram)
  values = np.maximum(values, 0)
  ridge = RIDGE * max(values.sum() / n, np.finfo(np.float32).tiny)
  # The intercept is not penalised: it adds 1 / n to H.
  rest = np.eye(n) - 1 / n - (vectors * (values / (values + ridge))) @ vectors.T
  left_out = rest.copy()
  for group in np.unique(groups):
    own = np.flatnonzero(groups == group)
    block = rest[np.ix_(own, own)] + SMALLEST * np.eye(len(own))
    left_out[own] = np.linalg.solve(block, rest[own])
  count = min(components, n)
  values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count]
  # inputs = U S V', so a new x has the coefficients x V = x inputs' U / S.
  strengths = np.sqrt(np.maximum(values, ridge * 1e-9))
  basis = inputs.T @ (vectors / strengths)
  gains = (strengths / (values + ridge))[:, None] * vectors.T
  missing = components - count
  basis, gains = np.pad(basis, ((0, 0), (0, missing))), np.pad(gains, ((0, missing), (0, 0)))
  return Regression(*(np.asarray(x, np.float32) for x in (left_out, basis, gains)))
