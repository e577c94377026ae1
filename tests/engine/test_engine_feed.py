"""Images that come while others are sampled: none is lost, and sampling waits only where there is nothing to do."""

import random
import threading

import numpy as np

from smoothcert.engine.worker import WorkQueue
from smoothcert.noise import Stage
from smoothcert.sampling.protocol import ImageState, SampleRange
from smoothcert.sampling.scheduler import continuous_batching


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


def fresh(index):
    return ImageState(index, SampleRange(Stage.ESTIMATION, 0, 3))


def settle(images, counts):
    for image in images:
        image.need, image.drawn = None, 0


def test_it_runs_dry_only_while_something_is_sampled():
    feed = WorkQueue()
    feed.put([1, 2])
    taken = map(str, feed)
    assert [next(taken), next(taken)] == ["1", "2"]
    assert next(taken, None) is None  # two are being sampled
    feed.put([3])
    assert next(taken) == "3"  # and it goes on
    feed.decided(3)
    threading.Timer(0.05, feed.put, ([4],)).start()
    assert next(taken) == "4"  # nothing else to do: it waited
    feed.decided(1)
    threading.Timer(0.05, feed.close).start()
    assert next(taken, None) is None
    assert next(taken, None) is None


def test_images_that_come_late_are_sampled_with_the_others():
    feed, sampler, done = WorkQueue(), Counting(), []
    order = list(range(200))

    def feeder():
        rng = random.Random(0)
        while order:
            feed.put([order.pop() for _ in range(min(len(order), rng.randint(1, 9)))])
            if rng.random() < 0.3:
                threading.Event().wait(0.002)
        feed.close()

    thread = threading.Thread(target=feeder)
    thread.start()
    for decided in continuous_batching(map(fresh, feed), sampler, settle):
        feed.decided(len(decided))
        done += [image.index for image in decided]
    thread.join()
    assert sorted(done) == list(range(200))
    assert sum(sampler.batches) == 600
