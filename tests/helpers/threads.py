"""Several Python threads that start at once."""

import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier

THREADS = 8


@contextmanager
def turns(seconds):
    """Threads take turns so often: they meet inside short calls too."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def together(function, threads=THREADS):
    """function(0) ... function(threads - 1), each in a thread of its own, started at once."""
    barrier = Barrier(threads)

    def wait_and_run(k):
        barrier.wait()
        return function(k)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(wait_and_run, range(threads)))
