"""The report, also in a real browser."""

import csv
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from ocrgan_jax.reports.evaluation import evaluate
from ocrgan_jax.reports.report import FIGURES, choose_rows

CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('chrome')


def test_the_sheet_shows_both_ends_of_both_classes() -> None:
  labels, scores = np.array([0] * 10 + [1] * 3), np.arange(13.0)
  assert choose_rows(labels, scores) == [12, 11, 10, 9, 8, 1, 0]


@pytest.mark.skipif(CHROMIUM is None, reason='no Chromium on this machine')
def test_in_a_browser_the_slider_changes_verdicts_and_the_gallery_can_be_filtered(
  trained: Path,
) -> None:
  sync_api = pytest.importorskip('playwright.sync_api')
  metrics = evaluate(trained)
  html = (trained / 'report.html').read_text()
  assert not re.search(r'(src|href)="(?!data:|#)', html)  # needs no other file
  with (trained / 'scores.csv').open() as file:
    rows = [(row['label'] == '1', float(row['score'])) for row in csv.DictReader(file)]
  with sync_api.sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=['--no-sandbox'])
    page = browser.new_page(viewport={'width': 1400, 'height': 900})
    faults: list[str] = []
    page.on('pageerror', lambda error: faults.append(str(error)))
    page.goto((trained / 'report.html').as_uri())
    of = lambda selector: [
      float(text) for text in page.locator(f'{selector} figcaption b').all_inner_texts()
    ]
    scores = lambda anomalous: sorted(score for label, score in rows if label == anomalous)
    np.testing.assert_allclose(of('#misses'), scores(True), atol=0.011)  # the worst first
    np.testing.assert_allclose(of('#alarms'), scores(False)[::-1], atol=0.011)
    assert page.inner_text('#recall') == f'{metrics["recall"]:.3f}'
    assert page.inner_text('#false-alarms') == f'{metrics["false_alarm_rate"]:.3f}'
    for name in FIGURES:
      assert page.locator(f'#{name}').bounding_box()['width'] > 400, name
    assert f'{metrics["aupro"]:.3f}' in page.inner_text('#numbers')

    # One slider: rates, confusion matrix and verdicts.
    limit = sorted(score for _, score in rows)[4] + 1e-4
    page.eval_on_selector(
      '#threshold', f'e => {{ e.value = {limit}; e.dispatchEvent(new Event("input")); }}'
    )
    page.wait_for_function('document.querySelectorAll("#gallery .card").length === 11')
    caught = np.mean([score > limit for label, score in rows if label])
    page.wait_for_function(f'document.getElementById("recall").textContent === "{caught:.3f}"')
    cells = [int(text) for text in page.locator('#confusion td').all_inner_texts()[:4]]
    assert sum(cells) == 11 and sum(cells[::2]) == 6  # called anomalous: those over the limit
    page.select_option('#verdict', 'wrong')
    assert page.locator('#gallery .card').count() == cells[1] + cells[2]
    page.select_option('#verdict', '')
    page.select_option('#type', 'scratch')
    assert page.locator('#gallery .card').count() == 6
    page.select_option('#order', 'low')
    assert of('#gallery') == sorted(of('#gallery'))
    page.locator('#gallery canvas').first.click()
    assert page.is_visible('#large') and 'test/scratch/' in page.inner_text('#large p')
    browser.close()
  assert not faults
