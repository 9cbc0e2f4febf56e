"""The first few random programs of each kind; `scripts/try_programs.py` tries more."""

import pytest

import programs

PARTS = 4  # so that the processes of a run share a kind


def _needs(name):
    return [pytest.mark.torch] if getattr(programs.kind(name), "NEEDS_TORCH", False) else []


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("name", [pytest.param(n, marks=_needs(n)) for n in programs.KINDS])
def test_programs(name, part):
    if getattr(programs.kind(name), "NEEDS_TORCH", False):
        pytest.importorskip("torch", reason="compares with PyTorch live")
    for number in range(part, programs.kind(name).SHORT, PARTS):
        programs.attempt(name, number)
