"""Leads that must not be lost, as ratios of processor time in one run, with one thread.

Neither waiting for a busy machine's cores nor its slowness counts: with load 7 on two cores ratios
agreed to a tenth from run to run, those to plain Python to a half. Each bound leaves a factor of
1.8 or more to what they showed, and the best of all rounds decides. What measures runs alone:
`pytest -m slow tests/benchmarks/test_speed.py`.
"""

import numba
import pytest

from helpers.speed import alone, assert_lead
from minigrad.benchmarks import measure, rivals
from minigrad.benchmarks.rivals import Loss, Step

if numba.config.DISABLE_JIT:
    pytest.skip("NUMBA_DISABLE_JIT is set: nothing is compiled", allow_module_level=True)

pytestmark = [pytest.mark.slow, alone]


@pytest.fixture(autouse=True)
def one_thread():
    with measure.held_to(1):
        yield


def python_work():
    """What the interpreter needs for a thousand small steps."""
    return sum(i * i for i in range(1000))


@pytest.mark.parametrize(
    "cell",
    [
        *(Loss(n, (1_000_000,)) for n in ("mse", "l1", "smooth_l1", "bce", "bce_with_logits")),
        Loss("cross_entropy", (65536, 10)),
        Loss("cross_entropy", (1024, 1000)),
    ],
    ids=str,
)
def test_a_fused_loss_beats_numpy(cell):
    """Forward and backward through Tensors, against the NumPy formulas: twice as fast at least."""
    runs = [rivals.build(name, cell).run for name in ("minigrad", "NumPy")]
    assert_lead(*runs, 2)


@pytest.mark.parametrize(
    "cell", [*(Loss(n, (64,)) for n in ("mse", "bce")), Loss("cross_entropy", (8, 3))], ids=str
)
def test_a_small_call_is_light(cell):
    """Forward and backward on next to no data: at most twice a thousand steps of plain Python."""
    assert_lead(rivals.build("minigrad", cell).run, python_work, 0.5)


def test_a_recorded_step_beats_the_plain_one():
    runs = [rivals.build(name, Step(1, 2, 16, 2)).run for name in ("minigrad.compile", "minigrad")]
    assert_lead(*runs, 1.05)


def test_a_lost_lead_is_noticed():
    with pytest.raises(pytest.fail.Exception, match=r"a lead of [01]\.\d\d, expected 2"):
        assert_lead(lambda: python_work(), python_work, 2)
