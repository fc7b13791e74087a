"""Every config field with its default, its unit and the section of the paper it comes from.

The other files in this folder override these defaults. Any field can be changed on the command
line: `--config.model.width=4 --config.train.epochs=20`.
"""

from typing import Any

import ml_collections

# The fields that each recipe changes. Select one as in `configs/mvtec.py:bottle,release`.
RECIPES: dict[str, dict[str, Any]] = {
  # The optimiser settings of the paper (IV-A2) and of its official code differ.
  'paper': {'train.learning_rate': 2e-3, 'train.weight_decay': 1e-4},
  'release': {'train.learning_rate': 2e-4, 'train.weight_decay': 0.0},
  # Beyond the paper: trains nothing; several heads judge the bands of an image (ocrgan_jax/heads).
  'bands': {
    'train.epochs': 0,
    'score.kind': 'heads',
    'forgery.cutpaste': False,
    'forgery.cutout': False,
  },
}


def get_config(recipe: str = 'paper', *, batch_size: int = 32) -> ml_collections.ConfigDict:
  """Returns the default configuration with a recipe applied (a key of RECIPES)."""
  if recipe not in RECIPES:
    raise ValueError(f'unknown recipe {recipe!r}: use one of {", ".join(RECIPES)}')
  config = ml_collections.ConfigDict()
  config.seed = 0  # for initial weights, shuffling, forging and the held-out split
  config.data_dir = ''  # the dataset's folder
  # Side in pixels: a power of two, at least 32 (IV-A1), or 0: 256, or 512 for large photographs.
  config.image_size = 256

  config.data = data = ml_collections.ConfigDict()
  data.dataset = ''  # name of the dataset, a key of ocrgan_jax.data.datasets.DATASETS
  data.category = ''  # product, class or kind within the dataset
  data.validation_share = 0.1  # share of normal training images held out (III-E, Eq. 14)
  # Only for datasets without an official split: the share of normal images used for training,
  # and the seed that picks them. It is separate from `seed` so that all runs share one test set.
  data.train_share = 0.8
  data.split_seed = 0
  # Which images show the same part; these are held out together. 'twins': those that look it, by
  # comparing all images once. 'none': each shows another. A CSV file of path,group; exif:2,
  # photographs taken at most 2 seconds apart; or a regular expression for the path, whose first
  # parenthesis is the group.
  data.groups = 'twins'
  data.test_dir = ''  # dataset `folder` only: folder of test images, if outside data_dir
  data.prepared_dir = ''  # where prepared datasets are stored; '': ocrgan_jax in the user's cache
  data.skip_damaged = False  # skip damaged files instead of stopping
  data.max_megapixels = 100.0  # reject larger images; 10^6 pixels
  data.memory_gib = 4.0  # keep decoded images in memory up to this size, else stream them; GiB
  # How a photograph is fitted to the model's square input (all but 'stretch' beyond the paper):
  #   'stretch': resize it, ignoring its aspect ratio, as the paper does.
  #   'pad':     keep the aspect ratio and pad; padding is ignored in scores.
  #   'tiles':   cut it into overlapping squares; its score is the largest of theirs.
  data.fit = 'stretch'
  data.tile = 0  # side of a tile in pixels of the photograph; 0: image_size
  data.overlap = 0.25  # least overlap of neighbouring tiles, as a share of their side
  # Region in which defects count: '' is the whole photograph; a path is a mask image of the whole
  # photograph, black where defects are ignored; 'auto' excludes a plain background (see
  # ocrgan_jax/data/region.py).
  data.region = ''
  # Keep small copies of the training photographs in the run's folder, so that the page can show the
  # one that is most similar to a photograph.
  data.thumbnails = False
  # The recipe `bands`: changes of a photograph that are normal, see ocrgan_jax/data/disturbance.py.
  data.tolerate = tolerate = ml_collections.ConfigDict()
  tolerate.light = 0.03  # relative change of brightness; 0: none
  tolerate.pixels = 2  # moves, in pixels of the model's image; 0: none
  tolerate.jpeg = 85  # lowest JPEG quality; 0: no compression
  data.workers = 0  # processes that decode streamed images; 0: use threads
  # ELPV's own (ocrgan_jax/data/datasets/elpv.py): cells up to one defect probability are normal,
  # cells from the other one on are anomalous.
  data.normal_up_to = 0.0
  data.anomalous_from = 1.0
  # KolektorSDD's own (ocrgan_jax/data/datasets/kolektor.py): split by 'item' or by 'image'.
  data.split = 'item'

  config.model = model = ml_collections.ConfigDict()
  model.width = 64  # w, channels of G's first stage (Fig. 11)
  # Channels of D's first stage; follows model.width unless set. To narrow G alone, as the
  # paper's Fig. 11 does, set this to 64.
  model.discriminator_width = model.get_oneway_ref('width')
  model.branches = 2  # N, the number of frequency bands (III-B, Table V)
  model.bands = 'all'  # 'all', or the bands to keep, e.g. '2' or '1,3'; 1 is the lowest (Table VI)
  # Computation in 'float32' or 'bfloat16'; 'auto': bfloat16 on accelerators that have it, else
  # float32. Weights, batch statistics and losses stay float32.
  model.dtype = 'auto'
  model.channel_selection = True  # CS at every encoder stage (III-C, Table V)

  config.loss = loss = ml_collections.ConfigDict()
  loss.content = 50.0  # λ_con (Eq. 12, Fig. 7a, Table VII)
  loss.adversarial = 1.0  # λ_adv
  loss.latent = 1.0  # λ_lat
  loss.adversarial_form = 'bce'  # 'bce', or 'expectation' for Eq. 10 as printed
  loss.discriminator_latent = 0.0  # weight of Eq. 11 in D's loss; the release uses 1

  config.forgery = forgery = ml_collections.ConfigDict()
  forgery.cutpaste = True  # CutPaste (III-D, Fig. 6, Table V)
  forgery.cutout = True  # CutOut

  config.train = train = ml_collections.ConfigDict()
  # Passes over the training images. The paper states no number; the release uses 200. If both
  # epochs and steps are 0, no network is trained.
  train.epochs = 200
  train.steps = 0  # length of the run in steps; overrides epochs unless 0
  train.batch_size = batch_size  # images per step, summed over all devices (IV-A2: by dataset)
  train.learning_rate = 2e-3
  train.weight_decay = 1e-4  # L2 penalty, added to the gradient (not decoupled as in AdamW)
  train.beta1 = 0.5  # Adam (IV-A2)
  train.beta2 = 0.999
  train.checkpoint_every = 10  # epochs between checkpoints; each is validated and saved
  # Keep every checkpoint, not only the last and the best; --protocol=oracle needs them.
  train.keep_checkpoints = False
  train.pictures = True  # at each validation, show held-out images in TensorBoard
  train.log_every = 50  # steps per line of metrics.jsonl; a line holds their mean losses

  config.score = score = ml_collections.ConfigDict()
  # 'eq13' is the paper's score (III-E); 'map' is the mean of the largest values of the anomaly map
  # |I - Î|; 'heads' is one score from several heads over the bands (ocrgan_jax/heads).
  score.kind = 'eq13'
  score.heads = 'energy,statistics,whole,bright,dark,looks'  # the heads that are on
  score.content_weight = 0.9  # λ of Eq. 13 (Fig. 7b)
  score.content_distance = 'l1'  # 'l1' as in Eq. 13, or 'squared' as in the release
  # The next two are in pixels at image_size 256 and scale with the image size.
  score.map_sigma = 4.0  # sigma of the Gaussian that smooths the map; 0: no smoothing
  score.map_top = 200  # k, how many of the map's largest values kind 'map' averages
  # An image is anomalous if its score exceeds the threshold: at most this share of sound parts does
  # (or the lowest that the number of parts can tell),
  score.false_alarms = 0.01
  # or a fixed score, where 1 is the highest score of held-out normal images (None: not fixed).
  score.threshold = ml_collections.config_dict.placeholder(float)

  config.update_from_flattened_dict(RECIPES[recipe])
  return config


def split_argument(argument: str, category: str, recipe: str = 'paper') -> tuple[str, str]:
  """Splits a config argument, `category,recipe`; what is left out has the given default."""
  given_category, _, given_recipe = argument.partition(',')
  return given_category or category, given_recipe or recipe
