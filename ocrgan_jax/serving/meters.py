"""What the server counts, for /metrics."""

import contextlib
import functools
from collections import deque
from collections.abc import Iterator

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from scipy.stats import ks_2samp

from ocrgan_jax.inference.scorer import Scorer
from ocrgan_jax.inference.shift import RECENT, RecentScores
from ocrgan_jax.serving.errors import Refused

WAITING = 256  # maximum number of concurrent requests; others get 503


class Meters:
  """The metrics of a server.

  Attributes:
    requests: the counter of requests to /score, by status.
  """

  def __init__(self, scorer: Scorer):
    self._registry = registry = CollectorRegistry()
    gauge = functools.partial(Gauge, registry=registry)
    last = f'the last {RECENT} images'
    drift = (
      f'Kolmogorov-Smirnov distance of {last} from the {scorer.compared_with}, by their scores'
    )
    self.requests = Counter('ocrgan_requests', 'Requests to /score', ['status'], registry=registry)
    self._seconds = Histogram('ocrgan_seconds', 'Time from image to score', registry=registry)
    self._anomalous = Counter('ocrgan_anomalous', 'Images called anomalous', registry=registry)
    self._share = gauge('ocrgan_recent_anomalous_share', f'Anomalous share of {last}')
    self._median = gauge('ocrgan_recent_median_score', f'Median score of {last}')
    self._drift = gauge('ocrgan_drift', drift)
    self._shifted = gauge('ocrgan_shifted', f'1 if {last} are unlike training')
    self._held_out = scorer.scale(scorer.calibration.held_out)
    self._recent = RecentScores(scorer.calibration)
    self._recent_anomalous: deque[bool] = deque(maxlen=RECENT)
    self._waiting = 0

  @property
  def warning(self) -> str:
    """That the model does not apply to the recent images, or ''."""
    return self._recent.warning

  @contextlib.contextmanager
  def count_waiting(self) -> Iterator[None]:
    """Counts a request while it is being served.

    Raises:
      Refused: if WAITING requests are being served.
    """
    if self._waiting >= WAITING:
      raise Refused(503, 'too many requests at a time: try again', {'retry-after': '1'})
    self._waiting += 1
    try:
      yield
    finally:
      self._waiting -= 1

  def add(self, score: float, decision: str, seconds: float) -> None:
    """Counts one scored image."""
    anomalous = decision == 'anomalous'
    self._seconds.observe(seconds)
    self._anomalous.inc(anomalous)
    self._recent.add(score)
    self._recent_anomalous.append(anomalous)

  def text(self) -> bytes:
    """The metrics in Prometheus text format."""
    if self._recent_anomalous:
      self._share.set(float(np.mean(self._recent_anomalous)))
      self._median.set(np.median(self._recent.values))
      self._drift.set(ks_2samp(self._recent.values, self._held_out).statistic)
    self._shifted.set(bool(self.warning))
    return generate_latest(self._registry)
