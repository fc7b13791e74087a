"""What the report shows, and how it works in a real browser."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from ocrgan_jax.evaluate import evaluate
from ocrgan_jax.report import FIGURES, choose_gallery, choose_rows, errors_of

CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('chrome')
# Run in the page: what is drawn, and the order of the cards after each button is pressed.
PROBE = """<script>
addEventListener('load', () => {
  const order = () => [...document.querySelectorAll('.card')].map((c) => Number(c.dataset.score));
  const orders = [...document.querySelectorAll('button')].map((b) => (b.click(), order()));
  const widths = Object.fromEntries([...document.images].map((i) => [i.alt, i.naturalWidth]));
  const told = document.createElement('pre');
  told.id = 'probe';
  told.textContent = JSON.stringify({ widths, orders });
  document.body.append(told);
});
</script>"""


def test_the_sheet_shows_both_ends_of_both_classes() -> None:
  labels, scores = np.array([0] * 10 + [1] * 3), np.arange(13.0)
  assert choose_rows(labels, scores) == [12, 11, 10, 9, 8, 1, 0]


def test_the_gallery_begins_with_the_worst_errors() -> None:
  labels, scores = np.array([0, 0, 1, 1, -1]), np.array([1.0, 5.0, 2.0, 9.0, 4.5])
  errors = errors_of(labels, scores, threshold=4.0)
  # A missed defect by 2, a false alarm by 1, then the right ones; the unlabelled by its doubt.
  assert choose_gallery(errors) == [2, 1, 4, 0, 3]
  many = choose_gallery(np.arange(1000.0))
  assert len(many) == len(set(many)) == 64 and many[:32] == list(range(999, 967, -1))
  assert many[-1] == 0  # the other half is spread over all the rest


@pytest.mark.skipif(CHROMIUM is None, reason='no Chromium on this machine')
def test_a_browser_shows_the_figures_and_sorts_the_images(trained: Path, tmp_path: Path) -> None:
  metrics = evaluate(trained)
  html = (trained / 'report.html').read_text()
  assert not re.search(r'(src|href)="(?!data:)', html)  # needs no other file
  page = tmp_path / 'report.html'
  page.write_text(html.replace('</body>', f'{PROBE}</body>'))
  command = [
    str(CHROMIUM),
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    f'--user-data-dir={tmp_path}/profile',
    '--dump-dom',
    page.as_uri(),
  ]
  done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
  probe = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout)
  assert probe, done.stdout[-2000:]
  seen = json.loads(probe.group(1))
  assert {name for name in FIGURES if seen['widths'].get(name, 0) > 200} == set(FIGURES)
  views = [name for name in seen['widths'] if name.startswith('anomaly map of ')]
  assert len(views) == 11 and all(seen['widths'][name] == 32 for name in views)
  worst, highest, lowest = seen['orders']
  assert highest == sorted(highest, reverse=True) and lowest == sorted(lowest)
  assert sorted(worst) == lowest and len(worst) == 11
  for value in (f'{metrics["image_auroc"]:.3f}', f'{metrics["aupro"]:.3f}', '&quot;width&quot;: 2'):
    assert value in done.stdout.replace('"width"', '&quot;width&quot;')
