"""Training steps: groups by network, rivals within."""

import pytest

from minigrad.benchmarks.rivals import STEP_CELLS, STEP_RIVALS


@pytest.mark.parametrize("rival", STEP_RIVALS)
@pytest.mark.parametrize("cell", STEP_CELLS)
def test_step(cell, rival, bench):
    bench(rival, cell, f"training step, {cell}")
