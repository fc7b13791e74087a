"""Every field of a run, with its default, its unit and the paper's section.

The other files of this folder override it. Change any field from the command
line: `--config.model.width=4 --config.train.epochs=20`.
"""

from typing import Any

import ml_collections

# What a recipe changes, by name: `configs/mvtec.py:bottle,release`.
PRESETS: dict[str, dict[str, Any]] = {
  # IV-A2 states the paper's optimiser; its official release ships with another.
  'paper': {'train.learning_rate': 2e-3, 'train.weight_decay': 1e-4},
  'release': {'train.learning_rate': 2e-4, 'train.weight_decay': 0.0},
  # Beyond the paper: nothing is trained, a density of band statistics is fitted.
  'statistics': {
    'train.epochs': 0,
    'score.kind': 'map',
    'score.map': 'density',
    'density.channels': 'energy,colour + energy,colour,bands,directions',
    'score.map_sigma': 0.0,
    'forgery.validation': 'unseen',
    'forgery.copies': 3,
  },
}
# Beyond the paper: G restores forged images, D judges pixels, and a density of band statistics
# and of D's features scores.
PRESETS['restore'] = {
  **PRESETS['statistics'],
  'density.channels': PRESETS['statistics']['density.channels'] + ' + pixels',
  'model.width': 4,
  'model.discriminator_width': 12,
  'model.discriminator_head': 'pixels',
  'model.deviations': True,
  'loss.content': 10.0,
  'loss.ssim': 1.0,
  'loss.adversarial': 0.0,
  'loss.latent': 0.0,
  'forgery.cutpaste': False,
  'forgery.cutout': False,
  'forgery.mixtures': True,
  'forgery.unforged': 0.3,
  'train.generator_input': 'forged',
  'train.steps': 1000,
  'train.checkpoint_every': 25,  # each fits densities anew
  'train.batch_size': 8,
  'train.weight_decay': 0.0,
  'train.beta1': 0.9,
  'train.warmup': 50,
  'train.decay': 'cosine',
  'train.clip': 1.0,
  'train.average': 0.995,
}


def get_config(preset: str = 'paper', *, batch_size: int = 32) -> ml_collections.ConfigDict:
  """The default configuration, changed by a preset, one of PRESETS."""
  if preset not in PRESETS:
    raise ValueError(f'unknown preset {preset!r}: use one of {", ".join(PRESETS)}')
  config = ml_collections.ConfigDict()
  config.seed = 0  # of initial weights, shuffling, forging and the held-out split
  config.data_dir = ''  # where the dataset lies on disk
  config.image_size = 256  # side in pixels, a power of two from 32 (IV-A1)

  config.data = data = ml_collections.ConfigDict()
  data.dataset = ''  # a key of ocrgan_jax.data.DATASETS
  data.category = ''  # the dataset's product, class or kind
  data.validation_share = 0.1  # of the normal training images: held out (III-E, Eq. 14)
  # For datasets without an official split: the share of the normal images to train
  # on, and the seed that picks them (not `seed`, so that all runs share one test set).
  data.train_share = 0.8
  data.split_seed = 0
  data.split = 'item'  # KolektorSDD: 'item', or 'image' (see its module)
  data.normal_up_to = 0.0  # ELPV: defect probability up to which a cell is normal
  data.anomalous_from = 1.0  # ELPV: and from which it is anomalous
  data.test_dir = ''  # folder: where test images lie, if not in the tree of data_dir
  data.prepared_dir = ''  # prepared datasets; by default ocrgan_jax in the user's cache folder
  data.skip_damaged = False  # leave damaged files out instead of stopping
  data.max_megapixels = 100.0  # larger images are refused; 10^6 pixels
  data.memory_gib = 4.0  # decoded images are kept in memory up to this; GiB
  # How a photograph becomes the model's square images (beyond the paper): 'stretch', as the
  # paper's; 'pad', which keeps its aspect, and padding never counts; or 'tiles', overlapping
  # squares of so many of its pixels a side (0: image_size), whose largest score is its own.
  data.fit = 'stretch'
  data.tile = 0
  data.overlap = 0.25  # of neighbouring tiles, at least, as a share of their side
  # Where defects count: '' everywhere, the path of a mask of a whole photograph (what is not
  # black counts), or 'auto', found from the plain background (ocrgan_jax/data/region.py).
  data.region = ''
  data.workers = 0  # processes that decode streamed images; 0: threads

  config.model = model = ml_collections.ConfigDict()
  model.width = 64  # w, channels of G's first stage (Fig. 11)
  # Channels of D's first stage: G's width unless set. The paper's Fig. 11 narrows G
  # alone; for that set it to 64.
  model.discriminator_width = model.get_oneway_ref('width')
  # What D judges: the 'image', as the paper's, or 'pixels' (beyond the paper).
  model.discriminator_head = 'image'
  # Whether the latter is given how far each position is from the density of band statistics.
  model.deviations = False
  model.branches = 2  # N, the number of frequency bands (III-B, Table V)
  model.bands = 'all'  # or the bands kept, 1 the lowest, as '2' or '1,3' (Table VI)
  model.dtype = 'float32'  # of the computation, or 'bfloat16'; parameters and losses are float32
  model.channel_selection = True  # CS at every encoder stage (III-C, Table V)

  config.loss = loss = ml_collections.ConfigDict()
  loss.content = 50.0  # λ_con (Eq. 12, Fig. 7a, Table VII)
  loss.adversarial = 1.0  # λ_adv
  loss.latent = 1.0  # λ_lat
  loss.adversarial_form = 'bce'  # or 'expectation', Eq. 10 as printed
  loss.ssim = 0.0  # weight of 1 - SSIM beside Eq. 9 (beyond the paper)
  loss.discriminator_latent = 0.0  # weight of Eq. 11 in D's loss; 1 in the release
  loss.defects = 0.1  # weight in that loss of forged pixels against that of normal ones

  config.forgery = forgery = ml_collections.ConfigDict()
  forgery.cutpaste = True  # (III-D, Fig. 6, Table V)
  forgery.cutout = True
  forgery.mixtures = False  # mixtures of frequency bands in irregular shapes (beyond the paper)
  forgery.unforged = 0.0  # share of the images that are left as they are
  # What held-out images are told from in validation: copies forged as in training, 'same',
  # or 'unseen', mixtures of bands, of families that training does not use; how many each.
  forgery.validation = 'same'
  forgery.copies = 1

  config.train = train = ml_collections.ConfigDict()
  # Passes over the training images: the release's, the paper states none. With 0, and no
  # steps, nothing is trained.
  train.epochs = 200
  train.steps = 0  # of the whole run, instead of epochs; 0: as many as the epochs take
  train.batch_size = batch_size  # images a step, over all devices (IV-A2: by dataset)
  train.learning_rate = 2e-3
  train.weight_decay = 1e-4  # L2, coupled into the gradient
  train.beta1 = 0.5  # of Adam (IV-A2)
  train.beta2 = 0.999
  # Beyond the paper: steps of warm-up, 'cosine' to fall to 0 at the last step (with
  # train.steps), the largest norm of a gradient, and the share of the average of the weights
  # that a step keeps. The average is then what is validated and what scores. 0: none.
  train.warmup = 0
  train.decay = 'none'
  train.clip = 0.0
  train.average = 0.0
  train.generator_input = 'normal'  # or 'forged': G restores forged images (beyond the paper)
  train.checkpoint_every = 10  # epochs between validations, each saved
  # Keep every checkpoint, not the last and the best alone: for --protocol=oracle.
  train.keep_checkpoints = False
  train.track = 'none'  # or 'wandb' or 'mlflow': the log goes there, too
  train.pictures = True  # in TensorBoard, of held-out images, at each validation of networks
  train.log_every = 50  # steps that one line of metrics.jsonl is the mean of

  # Of what normal images show at each position (ocrgan_jax/density). Distances by the lists
  # of statistics are added at '+'. Statistics: 'energy', 'colour', 'bands', 'directions', and
  # 'pixels' (the last features of a D that judges pixels).
  config.density = density = ml_collections.ConfigDict()
  density.channels = PRESETS['statistics']['density.channels']
  # Positions are judged given an image's mean statistics over so many regions a side, by so
  # many of their principal components.
  density.regions = 2
  density.context = 40
  density.ridge = 0.05  # added to their unit variances
  density.covariance_smoothing = 0.5  # of the covariances, over cells of 2×2 positions
  density.shrinkage = 0.02  # of a covariance towards its mean variance

  config.score = score = ml_collections.ConfigDict()
  score.kind = 'eq13'  # the paper's (III-E), or 'map': the largest values of the anomaly map
  score.map = 'difference'  # the anomaly map: |I - Î|, or 'density', the distance from it
  score.content_weight = 0.9  # λ of Eq. 13 (Fig. 7b)
  score.content_distance = 'l1'  # as Eq. 13, or 'squared' as the release
  # Sizes are given at 256 pixels and keep their share of the image at other sizes.
  score.map_sigma = 4.0  # standard deviation of the Gaussian; pixels
  score.map_top = 200  # k, the largest values that 'map' is the mean of; pixels
  # An image is anomalous above the threshold, which lies at a quantile of held-out normal
  # scores, or where false alarms are at most so frequent (0: by the quantile), or at a score,
  # of which 1 is the highest of held-out normal images (None: not given).
  score.threshold_quantile = 0.99
  score.false_alarms = 0.0
  score.threshold = ml_collections.config_dict.placeholder(float)

  config.update_from_flattened_dict(PRESETS[preset])
  return config


def split_argument(argument: str, default: str, recipe: str = 'paper') -> tuple[str, str]:
  """Splits a config's argument, `category` or `category,preset`, into the two."""
  category, _, preset = argument.partition(',')
  return category or default, preset or recipe
