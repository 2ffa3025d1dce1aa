"""INPUT, DATASETS, DATALOADER: what is read and how it is augmented."""

from ..node import CfgNode as CN
from ..node import list_of

INPUT = CN()
# Short edge in training: one of these values, or with "range" any integer between the two.
# (0,) leaves the size alone.
INPUT.MIN_SIZE_TRAIN = (800,)
INPUT.MIN_SIZE_TRAIN_SAMPLING = "choice"
INPUT.MAX_SIZE_TRAIN = 1333
# Short edge at test time; 0 leaves the size alone.
INPUT.MIN_SIZE_TEST = 800
INPUT.MAX_SIZE_TEST = 1333
# (low, high): scale both edges by a random factor, after the resize above; empty: off.
INPUT.RANDOM_SCALE = ()
# "horizontal", "vertical" or "none".
INPUT.RANDOM_FLIP = "horizontal"
# Channel order of colours fed to the model: "BGR" or "RGB". "L": one channel of grey, into which
# colours are turned.
INPUT.FORMAT = "BGR"
# Bands of the files, numbered from 0 on, in the order in which the model takes them; PIXEL_MEAN of
# MODEL has a number for each. Empty: all bands, colours in the order of FORMAT, transparency left
# out.
INPUT.BANDS = list_of(object)
# Which values of images of more than 8 bits become 0 and 255: [low, high], such as [0, 4095]; [2%,
# 98%], percentiles of each band of each image; a pair for each band; or "full", all that the type
# of integers holds. Empty: "full" for unsigned integers of up to 16 bits, and others are refused.
INPUT.VALUE_RANGE = list_of(object)
# Three of the model's channels that pictures show as red, green and blue, or one. Empty: the first
# three, or the only one.
INPUT.DISPLAY_BANDS = list_of(object)
# Masks of objects in training: "polygon" keeps polygons (images with RLE get bit masks), "bitmask"
# draws them.
INPUT.MASK_FORMAT = "polygon"
# In training of masks, objects without one: False leaves them out, so they are background; True
# takes their boxes, filled.
INPUT.MASKS_FROM_BOXES = False
# Share of the training samples that get objects of another image pasted on; needs "bitmask".
INPUT.COPY_PASTE_PROB = 0.0

# In training, tiles of SIZE (height, width) in the place of images, so that every part of a large
# one is seen in an epoch. Of a TIFF file no more is decoded, with rasterio. See docs/datasets.md.
INPUT.TILES = CN()
INPUT.TILES.ENABLED = False
INPUT.TILES.SIZE = [512, 512]
INPUT.TILES.OVERLAP = 0.25  # share of a tile that its neighbour covers at least

INPUT.CROP = CN()
INPUT.CROP.ENABLED = False
# "absolute" (pixels), "relative" (share of the image), "relative_range" (random, at least SIZE),
# "absolute_range" (random between the two values of SIZE).
INPUT.CROP.TYPE = "relative_range"
INPUT.CROP.SIZE = [0.9, 0.9]
# "before_resize": from the image as it is; "after_resize": from what the resize and RANDOM_SCALE
# make of it; "auto", as in Detectron2: after with META_ARCHITECTURE "SemanticSegmentor", before
# with all others, but after with RANDOM_SCALE, which Detectron2 has not.
INPUT.CROP.ORDER = "auto"
# A crop in which one class holds a larger share of the labelled pixels than this is drawn again,
# up to ten times. 1.0: off.
INPUT.CROP.SINGLE_CATEGORY_MAX_AREA = 1.0
# With TYPE "absolute", after the resize: pad what is smaller than SIZE, labels with IGNORE_VALUE.
INPUT.CROP.PAD = True

# Largest relative change of brightness, contrast and saturation (0.4: factors 0.6-1.4), and the
# largest rotation of the hue as a share of the colour circle (0.1: 36 degrees). 0: off.
INPUT.COLOR_JITTER = CN()
INPUT.COLOR_JITTER.BRIGHTNESS = 0.0
INPUT.COLOR_JITTER.CONTRAST = 0.0
INPUT.COLOR_JITTER.SATURATION = 0.0
INPUT.COLOR_JITTER.HUE = 0.0

# What happens to a training sample, in this order: names of AUGMENTATION_REGISTRY, or of
# torchvision.transforms.v2 ("torchvision.RandomRotation"), or {NAME: {ARGUMENT: value}}. Arguments
# that are left out are those of the keys above. "default" is all that these ask for: resize, scale,
# crop, padding, flip and colour. See docs/datasets.md.
INPUT.AUGMENTATIONS = ("default",)

DATASETS = CN()
DATASETS.TRAIN = list_of(str)
DATASETS.TEST = list_of(str)
# Data sets of one's own, by name: {my_train: {FORMAT: sem_seg_folder, IMAGES: dir, ...}}.
# See docs/datasets.md.
DATASETS.REGISTER = CN(new_allowed=True)

DATALOADER = CN()
# Worker processes of each training process; 0 loads in the training process itself.
# The samples are the same for any number.
DATALOADER.NUM_WORKERS = 4
# Batches each worker prepares ahead.
DATALOADER.PREFETCH_FACTOR = 2
# Before training, read all label maps and the headers of all images, and stop at a value outside
# the classes, or an image that is missing or of another size than its annotations.
DATALOADER.CHECK_LABELS = True
# Read all of them, also those that have been checked before and are unchanged since.
DATALOADER.CHECK_ANEW = False
# Leave out training images without an object, or with crowds alone.
DATALOADER.FILTER_EMPTY_ANNOTATIONS = True
# Fill a batch with landscape or with portrait images, so that less is padded, where the data set
# tells the images' sizes.
DATALOADER.ASPECT_RATIO_GROUPING = True
# "TrainingSampler", or "RepeatFactorTrainingSampler": images with a category that fewer than
# REPEAT_THRESHOLD of the images have come more often.
DATALOADER.SAMPLER_TRAIN = "TrainingSampler"
DATALOADER.REPEAT_THRESHOLD = 0.0
DATALOADER.REPEAT_SQRT = True
