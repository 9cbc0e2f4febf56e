"""Each loss at each size: groups by (loss, shape, pass), rivals within."""

import pytest

from minigrad.benchmarks.rivals import LOSS_CELLS, LOSS_RIVALS


@pytest.mark.parametrize("rival", LOSS_RIVALS)
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "forward+backward"])
@pytest.mark.parametrize("cell", LOSS_CELLS)
def test_loss(cell, backward, rival, bench):
    if rival == "NumPy" and not backward:
        pytest.skip("the NumPy reference computes value and slope together")
    passes = "forward + backward" if backward else "forward"
    bench(rival, cell._replace(backward=backward), f"{cell}, {passes}")
