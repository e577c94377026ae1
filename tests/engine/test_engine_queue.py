"""The work queue: images added while others are sampled are not lost, and `get` blocks only if nothing is active."""

import random
import threading

import numpy as np

from smoothcert.engine.local import WorkQueue
from smoothcert.noise import Stage
from smoothcert.sampling.protocol import ImageState, SampleRange
from smoothcert.sampling.scheduler import Scheduler


class Counting:
    """A sampler that counts what it is asked for."""

    batch_size, window = 8, 4

    def __init__(self) -> None:
        self.batches = []

    def load(self, slot, index):
        pass

    def draw(self, rows):
        self.batches.append(len(rows.slot))

    def take(self, slots):
        return np.zeros((len(slots), 2), dtype=np.int64)


class OneRange:
    """A stopping rule: an image is decided after its first samples."""

    def update(self, images, counts):
        for image in images:
            image.need, image.drawn = None, 0


def fresh(index):
    return ImageState(index, SampleRange(Stage.ESTIMATION, 0, 3))


def test_get_returns_at_once_or_blocks_until_there_is_an_index_or_the_queue_is_closed():
    queue = WorkQueue([1, 2, 3])
    assert queue.get(2, wait=True) == [1, 2]
    assert queue.get(2, wait=False) == [3]
    assert queue.get(2, wait=False) == []
    threading.Timer(0.05, queue.put, ([4],)).start()
    assert queue.get(2, wait=True) == [4]
    threading.Timer(0.05, queue.close).start()
    assert queue.get(2, wait=True) == []
    assert queue.get(2, wait=True) == []


def test_images_added_late_share_batches_with_the_others():
    queue, sampler, done = WorkQueue(), Counting(), []
    scheduler = Scheduler(sampler, OneRange())
    order = list(range(200))

    def feeder():
        rng = random.Random(0)
        while order:
            queue.put([order.pop() for _ in range(min(len(order), rng.randint(1, 9)))])
            if rng.random() < 0.3:
                threading.Event().wait(0.002)
        queue.close()

    thread = threading.Thread(target=feeder)
    thread.start()
    while True:
        for index in queue.get(scheduler.free, wait=scheduler.idle):
            scheduler.add(fresh(index))
        if scheduler.idle:
            break
        done += [image.index for image in scheduler.step()]
    thread.join()
    assert sorted(done) == list(range(200))
    assert sum(sampler.batches) == 600
