// Draws a photograph with its anomaly map and, if it is anomalous, an outline of the defect.
// scale: the value 255 of the grey map as a multiple of the limit. mask: drawn as a green outline.
function paint(canvas, width, height, { image, map, mask, scale, faint, full, opacity, outlined }) {
  canvas.width = width; canvas.height = height;
  const context = canvas.getContext('2d', {willReadFrequently: true});
  const pixelsOf = picture => {
    context.drawImage(picture, 0, 0, width, height);
    return context.getImageData(0, 0, width, height);
  };
  const grey = pixelsOf(map).data, defect = mask ? pixelsOf(mask).data : null;
  const picture = pixelsOf(image), pixels = picture.data;
  const borders = (values, least) => {
    const over = (x, y) => x >= 0 && y >= 0 && x < width && y < height && values[4 * (y * width + x)] > least;
    return (x, y) => {
      const around = over(x - 1, y) + over(x + 1, y) + over(x, y - 1) + over(x, y + 1);
      return over(x, y) ? (around < 4 ? 'inner' : '') : around ? 'outer' : '';
    };
  };
  const found = outlined && opacity > 0 ? borders(grey, 255 / scale) : () => '';
  const masked = defect ? borders(defect, 127) : () => '';
  for (let y = 0, i = 0; y < height; y++) for (let x = 0; x < width; x++, i += 4) {
    const heat = Math.min(1, (grey[i] / 255 * scale - faint) / (full - faint));
    if (heat > 0) {
      const a = 0.65 * Math.min(1, 0.35 + heat) * opacity;
      pixels[i] = pixels[i] * (1 - a) + 255 * a;
      pixels[i + 1] = pixels[i + 1] * (1 - a) + 255 * (1 - heat) * a;
      pixels[i + 2] = pixels[i + 2] * (1 - a);
    }
    const border = found(x, y);
    if (border) pixels[i] = pixels[i + 1] = pixels[i + 2] = border === 'outer' ? 255 : 0;
    if (masked(x, y) === 'outer') { pixels[i] = 40; pixels[i + 1] = 220; pixels[i + 2] = 60; }
  }
  context.putImageData(picture, 0, 0);
}

// Draws a histogram of several lists side by side, each as shares of its own total, with a dashed line at the threshold.
function drawHistogram(svg, lists, { low, high, threshold, height }) {
  const width = svg.clientWidth || 290, base = height - 20, bins = Math.min(60, Math.max(20, Math.round(width / 14)));
  const at = value => Math.max(0, Math.min(1, (value - low) / (high - low))) * width;
  const counts = lists.map(({ values }) => values.reduce((all, v) => {
    all[Math.max(0, Math.min(bins - 1, Math.floor((v - low) / (high - low) * bins)))] += 1 / values.length; return all;
  }, Array(bins).fill(0)));
  const most = Math.max(1e-9, ...counts.flat()), step = width / bins, part = step / lists.length;
  svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
  svg.innerHTML = counts.map((shares, k) => shares.map((n, i) => n ? `<rect x="${i * step + k * part}" width="${Math.max(1, part - .6)}"
      y="${base - n / most * (base - 6)}" height="${n / most * (base - 6)}" fill="var(${lists[k].color})"/>` : '').join('')).join('') +
    `<line x1="0" x2="${width}" y1="${base}" y2="${base}" stroke="var(--line)"/>` +
    `<line x1="${at(threshold)}" x2="${at(threshold)}" y1="2" y2="${base}" stroke="currentColor" stroke-dasharray="4 3"/>` +
    [low, 1, high].map((v, i) => `<text x="${at(v)}" y="${height - 5}" font-size="11" fill="var(--quiet)"
      text-anchor="${['start', 'middle', 'end'][i]}">${v.toFixed(i === 1 ? 0 : 1)}</text>`).join('');
}
