"""The stubs that are checked in are what the operations of today would write."""

import pytest
import stubs


@pytest.mark.parametrize("name", stubs.STUBS)
def test_stub_is_up_to_date(name):
    path = stubs.FOLDER / name
    assert path.read_text() == stubs.STUBS[name](), "run python tests/types/stubs.py --write"
