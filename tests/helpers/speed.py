"""Leads in processor time, by the best of alternating rounds in one run."""

import os
import time

import pytest

ROUNDS = 40
alone = pytest.mark.skipif("PYTEST_XDIST_WORKER" in os.environ, reason="it measures: run it alone")


def processor_seconds(run, calls):
    start = time.process_time()
    for _ in range(calls):
        run()
    return (time.process_time() - start) / calls


def assert_lead(fast, slow, factor):
    """`slow` takes at least `factor` times as long as `fast`: in the best rounds of either."""
    best = {run: float("inf") for run in (fast, slow)}
    calls = {run: int(1e-3 / processor_seconds(run, 3)) + 1 for run in best}
    for done in range(ROUNDS):
        for run in best:
            best[run] = min(best[run], processor_seconds(run, calls[run]))
        if done > 4 and best[slow] >= factor * best[fast]:
            return
    us, them = (best[run] * 1e6 for run in (fast, slow))
    pytest.fail(f"{us:.1f} µs against {them:.1f}: a lead of {them / us:.2f}, expected {factor}")
