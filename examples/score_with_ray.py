"""Scores a folder of any size on several workers or machines with Ray Data.

  pip install 'ray[data]'
  python examples/score_with_ray.py --workdir=runs/mine --output=scores photographs --workers=2

Photographs are scored in parts. Each part's table appears in `--output` when it is complete, and a
part whose table exists is skipped, so after an interruption run the same command again. On a
cluster the run's folder, the photographs and the output must be on a disk that all machines share.
"""

import argparse
import csv
import os
import sys
from pathlib import Path

import ray

from ocrgan_jax.data.examples import image_files


class ScorePart:
  """A worker. It loads the model once and scores one part after another."""

  def __init__(self, workdir: str, output: str):
    """Loads the model."""
    import ocrgan_jax

    self.scorer, self.output = ocrgan_jax.load(workdir), Path(output)

  def __call__(self, part: dict) -> dict:
    """Scores one part and writes its table."""
    path = self.output / part['name']
    partial = path.with_name(f'.{path.name}.partial')
    found = self.scorer.score_files(list(part['paths']))
    with partial.open('w', newline='', encoding='utf-8', errors='surrogateescape') as file:
      writer = csv.writer(file, lineterminator='\n')
      writer.writerow(['path', 'score', 'decision', 'error'])
      for p in found:
        writer.writerow([p.path, '' if p.error else f'{p.score:.8g}', p.decision, p.error])
    os.replace(partial, path)
    return {'name': part['name'], 'anomalous': sum(p.decision == 'anomalous' for p in found)}


def main() -> None:
  """Runs the command."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('folder')
  parser.add_argument('--workdir', required=True, help='folder of the run')
  parser.add_argument('--output', default='scores', help='folder for the tables')
  parser.add_argument('--workers', type=int, default=2, help='number of workers')
  parser.add_argument('--part', type=int, default=1000, help='photographs per part')
  arguments = parser.parse_args()
  files = [str(path) for path in image_files(Path(arguments.folder))]
  if not files:
    sys.exit(f'error: no images in {arguments.folder}')
  output = Path(arguments.output).expanduser().absolute()
  output.mkdir(parents=True, exist_ok=True)
  starts = range(0, len(files), arguments.part)
  parts = [
    {'name': f'part-{k:06}.csv', 'paths': files[start : start + arguments.part]}
    for k, start in enumerate(starts)
  ]
  to_do = [part for part in parts if not (output / part['name']).exists()]
  print(f'{len(files)} images in {len(parts)} parts, {len(parts) - len(to_do)} done already')
  if to_do:
    ray.init(ignore_reinit_error=True, log_to_driver=False)
    scored = ray.data.from_items(to_do, override_num_blocks=len(to_do)).map(
      ScorePart,
      fn_constructor_args=(str(Path(arguments.workdir).expanduser().absolute()), str(output)),
      concurrency=arguments.workers,
    )
    anomalous = sum(row['anomalous'] for row in scored.take_all())
    print(f'{anomalous} anomalous in the parts scored now')
  print(f'tables: {output}')


if __name__ == '__main__':
  main()
