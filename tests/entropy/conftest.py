"""Each instruction set in turn."""

import pytest

from narrows import _core


@pytest.fixture(params=_core.available_isas())
def isa(request):
    """Run the test once for each instruction set of this machine."""
    before = _core.isa()
    _core.set_isa(request.param)
    yield request.param
    _core.set_isa(before)
