'use strict';
{% include 'drawing.js' %}

const $ = id => document.getElementById(id);
const AT_ONCE = 4;
const FITS = {pad: 'padded to a square', tiles: 'cut into tiles'};
let model = null, token = '', photos = [], waiting = [], running = 0;

const headers = () => token ? {Authorization: `Bearer ${token}`} : {};
const verdict = photo => photo.score > threshold() ? 'anomalous' : 'normal';
const threshold = () => Number($('threshold').value);

async function answer(path, options = {}) {
  const response = await fetch(path, {...options, headers: headers()});
  if (response.status === 401) { $('login').hidden = false; $('token').focus(); }
  if (!response.ok) {
    let text = `the server answered ${response.status}`;
    try { text = (await response.json()).error || text; } catch { /* no JSON */ }
    throw new Error(text);
  }
  return response;
}

async function start() {
  try {
    model = await (await answer('model')).json();
  } catch (error) { $('model').textContent = error.message; return; }
  $('login').hidden = true;
  const step = model.step && `step ${model.step}`, size = `${model.image_size} pixels`;
  $('model').textContent = [model.name, step, size, FITS[model.fit]].filter(Boolean).join(', ');
  document.title = `Is it sound? ${model.name}`;
  setThreshold(model.threshold);
  warn(model.warning);
  next();
}

function warn(text) {
  $('banner').hidden = !text;
  $('banner').textContent = text;
}

// What was seen, where, and how unusual it is.
const why = photo => [photo.reason, photo.place, photo.unusual].filter(Boolean).join('; ');

function fitRange() {  // so that the slider reaches all scores and the threshold
  const scores = photos.map(p => p.score).filter(Number.isFinite);
  const all = [...scores, ...model.held_out, model.threshold, 1];
  const slider = $('threshold'), value = slider.value;
  slider.min = Math.floor(Math.min(...all, 0) * 10) / 10;
  slider.max = Math.ceil(Math.max(...all) * 1.05 * 10) / 10;
  slider.value = value;
}

function setThreshold(value) {
  const slider = $('threshold');
  slider.min = Math.min(Number(slider.min), value); slider.max = Math.max(Number(slider.max), value);
  slider.value = value;
  fitRange();
  slider.value = value;
  $('threshold-number').value = value.toFixed(3);
  refresh();
}

function add(files) {
  for (const file of files) {
    const photo = {file, name: file.name, score: NaN, error: '', map: null, image: null};
    photos.push(photo); waiting.push(photo); photo.card = cardOf(photo); $('cards').append(photo.card);
  }
  next(); refresh();
}

function next() {
  while (model && running < AT_ONCE && waiting.length) {
    running += 1;
    score(waiting.shift()).finally(() => { running -= 1; next(); });
  }
}

async function score(photo) {
  try {
    photo.image = createImageBitmap(photo.file, {imageOrientation: 'from-image'}).catch(async () => {
      const preview = await answer('preview', {method: 'POST', body: photo.file});
      return createImageBitmap(await preview.blob());
    });
    photo.image.catch(() => {});
    const found = await (await answer('score?map=true', {method: 'POST', body: photo.file})).json();
    photo.map = await greyOf(found.map);
    photo.image = await photo.image;
    photo.score = found.score;
    for (const name of ['reason', 'place', 'unusual', 'similar']) photo[name] = found[name];
    warn(found.warning);
  } catch (error) { photo.error = error.message; }
  fitRange(); refresh();
}

async function greyOf(base64) {
  const bytes = Uint8Array.from(atob(base64), c => c.charCodeAt(0));
  return createImageBitmap(new Blob([bytes], {type: 'image/png'}));
}

function cardOf(photo) {
  const card = $('card').content.firstElementChild.cloneNode(true);
  card.querySelector('.name').textContent = photo.name;
  card.querySelector('.name').title = photo.name;
  card.querySelector('canvas').onclick = () => enlarge(photo);
  return card;
}

// The training photograph that is most similar, if the run keeps thumbnails.
function showSimilar(box, similar) {
  box.hidden = !similar;
  if (!similar) return;
  box.querySelector('img').src = `data:image/jpeg;base64,${similar.picture}`;
  box.querySelector('span').textContent = `most similar training photograph: ${similar.name}`;
}

function show(canvas, photo, width, height) {
  const limit = Math.max(model.map_minimum + threshold() * model.map_width, 1e-9);
  paint(canvas, width, height, {image: photo.image, map: photo.map, scale: model.map_white / limit, faint: model.faint,
    full: model.full, opacity: Number($('opacity').value), outlined: verdict(photo) === 'anomalous'});
}

function draw(photo) {
  const card = photo.card, label = card.querySelector('.verdict');
  card.classList.toggle('anomalous', false); card.classList.toggle('normal', false);
  if (photo.error) {
    card.classList.add('failed');
    card.innerHTML = '<span class="name"></span><span class="error"></span>';
    card.querySelector('.name').textContent = photo.name;
    card.querySelector('.error').textContent = photo.error;
    return;
  }
  if (!Number.isFinite(photo.score)) return;
  card.classList.add(verdict(photo));
  card.dataset.score = photo.score;
  label.textContent = `${verdict(photo)} ${photo.score.toFixed(2)}`;
  card.querySelector('.why').textContent = why(photo);
  showSimilar(card.querySelector('.similar'), photo.similar);
  const canvas = card.querySelector('canvas'), box = card.getBoundingClientRect();
  canvas.width = Math.round(Math.min(600, (card.clientWidth || 230) * Math.min(2, devicePixelRatio)));
  canvas.height = Math.max(1, Math.round(canvas.width * photo.image.height / photo.image.width));
  photo.stale = box.bottom < -400 || box.top > innerHeight + 400;
  if (!photo.stale) show(canvas, photo, canvas.width, canvas.height);
}

let due = false;
function refresh() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    if (!model) return;
    const order = p => p.error ? Infinity : Number.isFinite(p.score) ? p.score : -Infinity;
    const sorted = [...photos].sort((a, b) => order(b) - order(a));
    const cards = $('cards');
    if (sorted.some((p, i) => cards.children[i] !== p.card)) cards.append(...sorted.map(p => p.card));
    photos.forEach(draw);
    drawHistogram($('histogram'), [{values: model.held_out, color: '--sound'},
      {values: photos.map(p => p.score).filter(Number.isFinite), color: '--shown'}],
      {low: Number($('threshold').min), high: Number($('threshold').max), threshold: threshold(), height: 150});
    const scored = photos.filter(p => Number.isFinite(p.score));
    const bad = scored.filter(p => verdict(p) === 'anomalous').length;
    const failed = photos.filter(p => p.error).length, open = photos.length - scored.length - failed;
    if (photos.length) $('summary').textContent = `${bad} of ${scored.length} anomalous` +
      (failed ? `, ${failed} could not be scored` : '') + (open ? `, ${open} pending` : '');
    $('export').disabled = !scored.length; $('clear').disabled = !photos.length;
  });
}
addEventListener('scroll', () => { if (photos.some(p => p.stale)) refresh(); }, {passive: true});
addEventListener('resize', refresh);

function enlarge(photo) {
  if (!photo.map) return;
  const dialog = $('large'), { width, height } = photo.image;
  const space = innerHeight * .84 - (photo.similar ? 130 : 0);
  const ratio = Math.min(innerWidth * .92 / width, space / height);
  show(dialog.querySelector('canvas'), photo, Math.round(width * ratio), Math.round(height * ratio));
  const found = `${verdict(photo)} ${photo.score.toFixed(3)}`;
  dialog.querySelector('p').textContent = `${photo.name}: ${found}; ${why(photo)}`;
  showSimilar(dialog.querySelector('.similar'), photo.similar);
  dialog.showModal();
}
$('large').onclick = () => $('large').close();

function save() {
  const quote = text => `"${text.replaceAll('"', '""')}"`;
  const rows = photos.map(p => [quote(p.name), Number.isFinite(p.score) ? p.score : '',
    Number.isFinite(p.score) ? verdict(p) : '', threshold(), quote(p.error)].join(','));
  const link = document.createElement('a');
  const table = ['name,score,decision,threshold,error', ...rows].join('\n') + '\n';
  link.href = URL.createObjectURL(new Blob([table], {type: 'text/csv'}));
  link.download = 'scores.csv';
  link.click();
}

$('files').onchange = event => { add(event.target.files); event.target.value = ''; };
for (const kind of ['dragover', 'dragleave', 'drop']) addEventListener(kind, event => {
  event.preventDefault();
  $('drop').classList.toggle('over', kind === 'dragover');
  if (kind === 'drop') add(event.dataTransfer.files);
});
$('threshold').oninput = () => { $('threshold-number').value = threshold().toFixed(3); refresh(); };
$('threshold-number').onchange = event => {
  if (Number.isFinite(event.target.valueAsNumber)) setThreshold(event.target.valueAsNumber);
};
$('reset').onclick = () => setThreshold(model.threshold);
$('opacity').oninput = refresh;
$('export').onclick = save;
$('clear').onclick = () => {
  photos = []; waiting = [];
  $('cards').replaceChildren(); $('summary').textContent = '';
  refresh();
};
$('login').onsubmit = event => { event.preventDefault(); token = $('token').value; start(); };
start();
