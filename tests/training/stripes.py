"""Images of three clearly different classes, and training settings for one second."""

import numpy as np

from smoothcert.data import ImageSet
from smoothcert.training import TrainingSettings

TINY = TrainingSettings(sigma=0.1, arch="resnet8", epochs=4, batch_size=16, holdout=0.25, precision="fp32")


def stripes(m: int = 96, dtype: type = np.uint8, channels: int = 1) -> ImageSet:
    """Bright, dark and grey images (m, 8, 8, channels)."""
    labels = np.arange(m) % 3
    levels = np.iinfo(dtype).max
    grey = (labels[:, None, None, None] * (levels // 2)).astype(dtype)
    images = np.broadcast_to(grey, (m, 8, 8, channels)).copy()
    return ImageSet("stripes", images, labels)
