"""Several Python threads that start at once."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

THREADS = 8


def together(function):
    """function(0) ... function(THREADS - 1), each in a thread of its own, started at once."""
    barrier = Barrier(THREADS)

    def wait_and_run(k):
        barrier.wait()
        return function(k)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(wait_and_run, range(THREADS)))
