"""The testing kit, for those who use hpc_connect and for those who write plug-ins.

- :class:`BackendConformance`: the tests that every backend has to pass, to be subclassed (needs pytest).
- :class:`FakeTransport`: a place whose commands answer what a test tells them to.
- :class:`FakeClock`: time that passes when a test says so.

How to use them: docs/how-to/test-your-code-without-a-cluster.md and docs/how-to/write-a-plug-in.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpc_connect.testing.clock import FakeClock
from hpc_connect.testing.transport import Asked, FakeTransport

if TYPE_CHECKING:
    from hpc_connect.testing.conformance import BackendConformance

__all__ = ["Asked", "BackendConformance", "FakeClock", "FakeTransport"]


def __getattr__(name: str) -> object:
    """What needs pytest is loaded when it is asked for, so that the rest does without."""
    if name != "BackendConformance":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        import pytest  # noqa: PLC0415 - see above
    except ImportError as error:
        raise ImportError(f"hpc_connect.testing.{name} needs pytest: pip install pytest") from error
    pytest.register_assert_rewrite("hpc_connect.testing.conformance")
    from hpc_connect.testing.conformance import BackendConformance  # noqa: PLC0415 - see above

    return BackendConformance
