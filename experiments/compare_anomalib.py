"""Trains and scores one model of anomalib; started by `experiments.compare`.

It runs in an environment of its own and imports nothing from this project. It downloads nothing.
"""

import argparse
import json
import logging
import os
import random
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from anomalib.data import Folder, PredictDataset
from anomalib.engine import Engine
from anomalib.models import AnomalibModule, Draem, Ganomaly

MODELS = {'GANomaly': Ganomaly, 'DRAEM': Draem}


def peak_gib() -> float:
  """The peak memory of this process in GiB, by Linux; as in `benchmark/machine.py`."""
  status = Path('/proc/self/status').read_text()
  return int(status.partition('VmHWM:')[2].split()[0]) / 2**20


def build(name: str, root: Path, size: int) -> AnomalibModule:
  """Builds a model for images of one size; by default anomalib would resize them to 256 pixels.

  Args:
    name: a key of MODELS.
    root: folder of the images.
    size: side of the images.
  """
  settings: dict[str, dict[str, Any]] = {
    # Its texture dataset would be downloaded; training images are used instead.
    'DRAEM': {'dtd_dir': root / 'train'},
  }
  model = MODELS[name]
  return model(
    pre_processor=model.configure_pre_processor((size, size)),
    post_processor=False,
    evaluator=False,
    visualizer=False,
    **settings.get(name, {}),
  )


def main() -> None:
  """Runs the command."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--model', choices=MODELS, required=True)
  parser.add_argument('--images', required=True, help='a category in the layout of MVTec AD')
  parser.add_argument('--size', type=int, required=True)
  parser.add_argument('--minutes', type=float, required=True, help='most minutes of training')
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--output', required=True, help='.npz to write: names, scores and maps')
  arguments = parser.parse_args()
  warnings.simplefilter('ignore')
  logging.disable(logging.WARNING)
  random.seed(arguments.seed)
  np.random.seed(arguments.seed)
  torch.manual_seed(arguments.seed)
  root = Path(arguments.images)
  data = Folder(
    name='images',
    root=root,
    normal_dir='train/good',
    normal_test_dir='test/good',
    abnormal_dir='test/defective',
    train_batch_size=8,
    num_workers=0,
    val_split_mode='same_as_test',  # never used, see limit_val_batches
  )
  model = build(arguments.model, root, arguments.size)
  with tempfile.TemporaryDirectory() as folder:
    trainer = {
      'accelerator': 'cpu',
      'logger': False,
      'enable_progress_bar': False,
      'limit_val_batches': 0,
      'max_epochs': -1,
      'max_time': {'seconds': int(60 * arguments.minutes)},
    }
    engine = Engine(default_root_dir=folder, **trainer)
    begun = time.perf_counter()
    engine.fit(model=model, datamodule=data)
    trained = time.perf_counter()
    images = PredictDataset(root / 'test', image_size=(arguments.size, arguments.size))
    batches = engine.predict(model=model, dataset=images)
    ended = time.perf_counter()
  names = [os.path.relpath(path, root) for batch in batches for path in batch.image_path]
  found = {
    'names': np.array(names),
    'scores': np.concatenate([np.ravel(batch.pred_score) for batch in batches]),
  }
  if batches[0].anomaly_map is not None:
    maps = torch.cat(
      [batch.anomaly_map.reshape(-1, *batch.anomaly_map.shape[-2:]) for batch in batches]
    )
    found['maps'] = maps.numpy()
  np.savez(arguments.output, allow_pickle=False, **found)
  print(
    json.dumps(
      {
        'train_minutes': (trained - begun) / 60,
        'images_per_second': len(names) / (ended - trained),
        'steps': engine.trainer.global_step,
        'gib': peak_gib(),
      }
    )
  )


if __name__ == '__main__':
  main()
