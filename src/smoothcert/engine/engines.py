"""Which engine samples a run: this process, or workers on a Ray cluster. The ledger is the same."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager

from smoothcert.engine.local import Engine, LocalEngine
from smoothcert.engine.placement import Workers
from smoothcert.spec import Spec


@contextmanager
def open_engine(workers: Workers, spec: Spec, local: LocalEngine) -> Iterator[Engine]:
    """Have an engine ready for as long as the context lasts.

    Args:
        workers: who samples.
        spec: the locked spec.
        local: this process as an engine, with images and classifiers of that spec.

    Raises:
        InputError: there is no cluster where one was expected.
    """
    if workers.engine == "local":
        yield local
        return
    from smoothcert.engine.fleet import Fleet
    from smoothcert.engine.members import WORKER_SECONDS
    from smoothcert.engine.messages import Job
    from smoothcert.engine.raycluster import connected
    from smoothcert.engine.raypool import RayPool

    work = local.work
    with connected(workers, work.recipe.device, work.images.images.nbytes) as cluster:
        seconds = workers.worker_timeout or WORKER_SECONDS
        job = Job(spec.to_json(), work.resolved, work.recipe, os.getcwd(), cluster.room.threads, work.consent)
        with closing(RayPool(cluster, job, work.images)) as pool:
            yield Fleet(pool, spec, work.images, cluster.room.workers, local.recipe_name, seconds)
