"""The server, over HTTP and in a browser."""

import base64
import csv
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from ocrgan_jax.core.errors import InputError
from ocrgan_jax.inference.explanation import how_unusual
from ocrgan_jax.inference.loading import load
from ocrgan_jax.serving.run_server import serve
from ocrgan_jax.training.train import train
from tests.conftest import REPOSITORY, run_module, tiny_config
from tests.recipes.test_bands import BANDS
from tests.reports.test_report import CHROMIUM


@pytest.fixture(scope='module')
def run(mvtec_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
  workdir = tmp_path_factory.mktemp('served') / 'run'
  fields = {'data__validation_share': 0.4, 'data__thumbnails': True}
  train(tiny_config(mvtec_folder, **BANDS, **fields), workdir)
  return workdir


@pytest.fixture(scope='module')
def paths(mvtec_folder: Path) -> list[Path]:
  return sorted((mvtec_folder / 'tile/test').rglob('*.png'))


def start(run: Path, *flags: str, token: str = '') -> tuple[subprocess.Popen[str], str]:
  """Starts the server; returns its process and address."""
  process = subprocess.Popen(
    [sys.executable, '-m', 'ocrgan_jax.serve', f'--workdir={run}', '--port=0', *flags],
    cwd=REPOSITORY,
    env={**os.environ, 'OCRGAN_TOKEN': token},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  found = re.search(r'http://\S+', process.stdout.readline())
  assert found, process.stderr.read()
  return process, found.group(0)


def stop(process: subprocess.Popen[str]) -> str:
  """Stops it as Ctrl-C does; returns what it wrote to stderr."""
  process.send_signal(2)
  return process.communicate(timeout=30)[1]


@pytest.fixture(scope='module')
def server(run: Path) -> Iterator[str]:
  process, address = start(run, '--max_mib=0.1', '--root_path=/inspection/')
  yield address
  assert 'Traceback' not in stop(process)


def test_concurrent_requests_get_the_answers_of_predict(
  server: str, run: Path, paths: list[Path]
) -> None:
  scorer = load(run)
  expected = {p.path: p for p in scorer.score_files(paths)}
  known = scorer.scale(scorer.calibration.held_out)
  with httpx.Client(base_url=server, timeout=60) as client, ThreadPoolExecutor(8) as pool:
    ask = lambda path: client.post('/score', content=path.read_bytes()).json()
    many = [path for path in paths for _ in range(9)]
    for path, found in zip(many, pool.map(ask, many), strict=True):
      p = expected[str(path)]
      assert found['score'] == pytest.approx(p.score, rel=1e-4)
      assert (found['decision'], found['reason'], found['place']) == (p.decision, p.reason, p.place)
      assert found['unusual'] == how_unusual(p.score, known, 'training photographs')
      assert p.place and 'training photographs' in found['unusual']
      assert (found['width'], found['height']) == (40, 40)
    metrics = client.get('/metrics').text
  assert 'ocrgan_requests_total{status="200"} 99.0' in metrics
  anomalous = 9 * sum(p.decision == 'anomalous' for p in expected.values())
  assert f'ocrgan_anomalous_total {anomalous}.0' in metrics
  drift = float(re.search(r'^ocrgan_drift (\S+)', metrics, re.MULTILINE).group(1))
  assert 0.4 < drift <= 1  # half of these photographs are scratched
  assert 'ocrgan_shifted ' in metrics


def test_a_photograph_may_be_the_file_of_a_form(server: str, paths: list[Path]) -> None:
  content = paths[0].read_bytes()
  expected = httpx.post(f'{server}/score', content=content).json()['score']
  for fields in (
    {'files': {'file': ('x.png', content)}},
    {'files': {'photo': ('x.png', content, 'image/png')}, 'data': {'note': 'line 3'}},
    {'files': {'file': (None, content)}},
  ):
    assert httpx.post(f'{server}/score', **fields).json()['score'] == expected
    assert httpx.post(f'{server}/preview', **fields).headers['content-type'] == 'image/jpeg'
  if curl := shutil.which('curl'):
    command = [curl, '-s', '-F', f'file=@{paths[0]}', f'{server}/score']
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)['score'] == expected


FORM = 'multipart/form-data'
BROKEN = {'content-type': f'{FORM}; boundary=y'}


@pytest.mark.parametrize(
  ('place', 'upload', 'status', 'message'),
  [
    ('POST /score', {}, 400, "no image: send its bytes as the body, or a form with it as 'file'"),
    ('POST /score', {'content': b'x'}, 400, 'cannot read the image: not an image'),
    ('POST /score', {'content': bytes(200_000)}, 413, 'the image is larger than 0.1 MiB'),
    ('POST /score', {'files': [('a', ('x.png', b'1'))] * 2}, 400, 'the form has 2 files: send one'),
    ('POST /score', {'files': [('a', (None, b'text'))]}, 400, 'the form has no file: send one ph'),
    ('POST /score', {'files': [('file', ('x.png', b''))]}, 400, 'no image: send its bytes as the'),
    ('POST /score', {'headers': {'content-type': FORM}}, 400, 'the form has no boundary in its C'),
    ('POST /score', {'content': b'x', 'headers': BROKEN}, 400, 'cannot read the form: '),
    ('POST /score?map=perhaps', {}, 400, 'query.map: Input should be a valid boolean'),
    ('GET /score', {}, 405, 'GET /score: Method Not Allowed'),
    ('GET /scores', {}, 404, 'GET /scores: Not Found'),
  ],
)
def test_bad_requests_get_one_line(
  server: str, place: str, upload: dict, status: int, message: str
) -> None:
  method, path = place.split()
  answer = httpx.request(method, server + path, **upload)
  assert answer.status_code == status and answer.json()['error'].startswith(message)
  assert '\n' not in answer.json()['error'] and [*answer.json()] == ['error']


def test_the_docs_describe_the_uploads(server: str) -> None:
  described = httpx.get(f'{server}/openapi.json').json()
  for path in ('/score', '/preview'):
    body = described['paths'][path]['post']['requestBody']['content']
    assert body[FORM]['schema']['properties']['file']['format'] == 'binary'
    assert body['application/octet-stream']['schema']['format'] == 'binary'
  assert 'securitySchemes' not in described.get('components', {})


@pytest.mark.parametrize('prefix', ['', '/inspection'])
def test_behind_a_proxy_with_a_prefix(server: str, prefix: str, paths: list[Path]) -> None:
  there = f'{server}{prefix}'
  page = httpx.get(f'{there}/').text
  assert '<base href="/inspection/">' in page
  assert not re.findall(r"""(?:fetch|answer)\(['"]/""", page)  # no URL leaves the prefix
  assert "url: '/inspection/openapi.json'" in httpx.get(f'{there}/docs').text
  count = lambda: httpx.get(f'{there}/metrics').text.partition('status="200"} ')[2].split()[0]
  assert httpx.post(f'{there}/score', content=paths[0].read_bytes()).status_code == 200
  before = float(count())
  httpx.post(f'{there}/score', content=paths[0].read_bytes())
  assert float(count()) == before + 1


@pytest.mark.parametrize('path', ['/health', '/model', '/metrics', '/', '/docs', '/openapi.json'])
def test_head_is_answered_like_get(server: str, path: str) -> None:
  got, headed = httpx.get(server + path), httpx.head(server + path)
  assert headed.status_code == got.status_code == 200 and not headed.content
  assert headed.headers['content-type'] == got.headers['content-type']


def test_the_map_covers_the_whole_photograph(server: str, run: Path, paths: list[Path]) -> None:
  scratched = Image.open(paths[-1]).resize((90, 40))
  file = io.BytesIO()
  scratched.save(file, 'PNG')
  found = httpx.post(f'{server}/score?map=true', content=file.getvalue()).json()
  grey = np.asarray(Image.open(io.BytesIO(base64.b64decode(found['map']))))
  assert grey.shape == (40, 90)
  assert grey[16:24].mean() > 1.5 * grey[:8].mean()  # the scratch, rows 18 to 22


@pytest.mark.parametrize(
  ('path', 'status'), [('score', 413), ('preview', 413), ('nothing', 404), ('model', 405)]
)
def test_a_refused_upload_is_told_to_every_client(server: str, path: str, status: int) -> None:
  content = bytes(20_000_000)  # larger than all buffers on the way
  pieces = (content[i : i + 2**16] for i in range(0, len(content), 2**16))  # of unknown length
  assert httpx.post(f'{server}/{path}', content=pieces).status_code == status
  request = urllib.request.Request(f'{server}/{path}', content)
  with pytest.raises(urllib.error.HTTPError) as refused:
    urllib.request.urlopen(request)
  with refused.value:
    assert refused.value.code == status
  # A client that asks first sends nothing.
  url = httpx.URL(server)
  with socket.create_connection((url.host, url.port), timeout=20) as connection:
    head = f'POST /{path} HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\n'
    connection.sendall(f'{head}Expect: 100-continue\r\n\r\n'.encode())
    assert connection.recv(2**16).startswith(f'HTTP/1.1 {status} '.encode())


def test_a_token_is_required_and_never_logged(run: Path, paths: list[Path]) -> None:
  process, address = start(run, token='secret-token')
  content = paths[0].read_bytes()
  assert httpx.post(f'{address}/score', content=content).status_code == 401
  assert httpx.post(f'{address}/score', content=bytes(20_000_000)).status_code == 401
  described = httpx.get(f'{address}/openapi.json').json()
  assert described['components']['securitySchemes']['HTTPBearer']['scheme'] == 'bearer'
  assert described['paths']['/score']['post']['security'] == [{'HTTPBearer': []}]
  wrong = {'Authorization': 'Bearer wröng'.encode()}
  assert httpx.get(f'{address}/model', headers=wrong).status_code == 401
  right = {'Authorization': 'Bearer secret-token'}
  assert httpx.post(f'{address}/score', content=content, headers=right).status_code == 200
  assert 'secret' not in stop(process)
  open_to_all = run_module('ocrgan_jax.serve', f'--workdir={run}', '--host=0.0.0.0')
  assert open_to_all.returncode == 1
  assert open_to_all.stderr.startswith('error: --host=0.0.0.0 can be reached from other machines')
  with pytest.raises(InputError, match=r'--root_path=inspection: it must be a path like /inspec'):
    serve(run, host='127.0.0.1', port=0, max_mib=1, root_path='inspection')


@pytest.mark.skipif(CHROMIUM is None, reason='no Chromium on this machine')
def test_in_a_browser_the_slider_changes_the_verdicts_on_dropped_photographs(
  server: str, run: Path, paths: list[Path], tmp_path: Path
) -> None:
  sync_api = pytest.importorskip('playwright.sync_api')
  (tmp_path / 'bad.png').write_text('no image')
  with sync_api.sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=['--no-sandbox'])
    page = browser.new_page(viewport={'width': 1400, 'height': 900})
    faults: list[str] = []
    page.on('pageerror', lambda error: faults.append(str(error)))
    page.goto(server)
    page.set_input_files('#files', [*paths, tmp_path / 'bad.png'])
    page.wait_for_function('/^[0-9]+ of 11 anomalous, 1 could/.test($("summary").textContent)')
    expected = load(run).score_files(paths)
    count = sum(p.decision == 'anomalous' for p in expected)
    assert page.inner_text('#summary') == f'{count} of 11 anomalous, 1 could not be scored'
    assert 'not an image' in page.inner_text('.card .error')
    shown = [float(text.split()[-1]) for text in page.locator('.verdict').all_inner_texts()]
    np.testing.assert_allclose(shown, sorted((p.score for p in expected), reverse=True), atol=0.006)
    # The slider decides anew without asking the server.
    asked: list[str] = []
    page.on('request', lambda request: asked.append(request.url))
    middle = sorted(p.score for p in expected)[3] + 1e-3
    page.fill('#threshold-number', f'{middle:.4f}')
    page.press('#threshold-number', 'Tab')
    page.wait_for_function('document.querySelectorAll(".card.anomalous").length === 7')
    page.eval_on_selector(
      '#threshold', 'e => { e.value = e.max; e.dispatchEvent(new Event("input")); }'
    )
    page.wait_for_function('document.querySelectorAll(".card.anomalous").length === 0')
    assert not asked
    # Each card says why, whatever its verdict.
    reasons = page.locator('.card .why').all_inner_texts()
    assert len(reasons) == 11 and all('training photographs' in r for r in reasons)
    # Beside it, the most similar photograph of training.
    assert page.locator('.card .similar:visible').count() == 11
    assert page.evaluate('[...document.querySelectorAll(".card img")].every(i => i.naturalWidth)')
    assert re.search(
      r'most similar training photograph: train/good/\d+\.png', page.inner_text('.similar >> nth=0')
    )
    page.evaluate('warn("another camera?")')
    assert page.inner_text('#banner') == 'another camera?'
    assert 'held out' not in page.content() and 'step' not in page.inner_text('#model')
    with page.expect_download() as download:
      page.click('#export')
    with open(download.value.path()) as file:
      rows = {row['name']: row for row in csv.DictReader(file)}
    assert rows['bad.png']['error'].endswith('not an image')
    assert {row['decision'] for row in rows.values()} == {'normal', ''}
    browser.close()
  assert not faults
