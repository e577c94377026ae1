"""A feed: images that reach a worker while it samples, so that its batches stay full to the last image.

Chunks of images, one after the other, would each end with batches that nothing fills.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from threading import Condition


class Feed:
    """Images for one worker at one noise level, put in by one thread and taken out by another.

    As an iterator it runs dry where no image is waiting but some are being sampled, and goes on once more have come;
    where none is being sampled either, it waits. After `close` it ends for good.
    """

    def __init__(self) -> None:
        """Start empty and open."""
        self._waiting: deque[int] = deque()
        self._sampled = 0
        self._closed = False
        self._changed = Condition()

    def put(self, indices: Iterable[int]) -> None:
        """Add images."""
        with self._changed:
            self._waiting.extend(indices)
            self._changed.notify_all()

    def close(self) -> None:
        """Promise that no more images come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def decided(self, images: int) -> None:
        """Take note that so many of the images taken out are decided."""
        with self._changed:
            self._sampled -= images

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed or self._sampled)
            if not self._waiting:
                raise StopIteration
            self._sampled += 1
            return self._waiting.popleft()
