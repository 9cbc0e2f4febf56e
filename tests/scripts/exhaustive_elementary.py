"""Every float32 input through exp, log and log1p; about a minute and a half for each.

    python tests/scripts/exhaustive_elementary.py [exp log log1p] [--every STEP]

Prints the largest error in ulp and where it is; exits 1 if it is above 1 ulp or if an infinity or
a NaN differs. The oracle is NumPy's float64 function, good to 1e-8 float32 ulp.
"""

import argparse
import sys

import numpy as np
from numba import njit

from minigrad.kernels.cpu import elementary

CHUNK = 1 << 20
BOUND = 1.0


def errors_in_ulp(got, exact):
    """|got - exact| / spacing(exact as float32); infinite where a NaN or an infinity differs."""
    nearest = exact.astype(np.float32)
    error = np.abs(got - exact) / np.spacing(np.abs(nearest))
    same = (got == nearest) | (np.isnan(got) & np.isnan(nearest))
    error = np.where(np.isfinite(nearest), error, np.where(same, 0, np.inf))
    return np.where(np.isnan(error), np.inf, error)


def largest_error(name, step):
    function = getattr(elementary.functions(np.float32), name)

    @njit(fastmath=elementary.FAST, error_model="numpy")
    def apply(x, out):
        for i in range(x.size):
            out[i] = function(x[i])

    worst, where = -1.0, None
    with np.errstate(all="ignore"):
        for start in range(0, 1 << 32, CHUNK * step):
            stop = min(start + CHUNK * step, 1 << 32)
            x = np.arange(start, stop, step, dtype=np.uint64).astype(np.uint32).view(np.float32)
            out = np.empty_like(x)
            apply(x, out)
            error = errors_in_ulp(out, getattr(np, name)(x.astype(np.float64)))
            i = error.argmax()
            if error[i] > worst:
                worst, where = error[i], x[i]
            print(f"\r{name:6} {stop / 2**32:4.0%}", end="", flush=True)
    print(f"\r{name:6} {worst:.4f} ulp at {where!r} ({float(where).hex()})")
    return worst


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", default=["exp", "log", "log1p"])
    parser.add_argument("--every", type=int, default=1, metavar="STEP")
    options = parser.parse_args()
    worst = [largest_error(name, options.every) for name in options.names]
    sys.exit(not max(worst) <= BOUND)
