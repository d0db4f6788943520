"""The tests that every backend has to pass.

A subclass in a test file of the plug-in gives the backend, and pytest does the rest:

    import pytest
    from hpc_connect.testing import BackendConformance

    class TestMyBackend(BackendConformance):
        @pytest.fixture
        def backend(self):
            return hpc_connect.get_backend("my-backend")

What the backend does not declare in ``capabilities`` is skipped, and one test for each such capability sees to it that
asking for it is refused by name. Attributes of the class say what is peculiar about the place, see
:class:`~hpc_connect.testing.conformance.base.ConformanceBase`.
"""

from __future__ import annotations

from hpc_connect.testing.conformance.arrays import Arrays
from hpc_connect.testing.conformance.basics import Basics
from hpc_connect.testing.conformance.control import Control
from hpc_connect.testing.conformance.dependencies import Dependencies
from hpc_connect.testing.conformance.fields import Fields
from hpc_connect.testing.conformance.finding import Finding
from hpc_connect.testing.conformance.refusals import Refusals
from hpc_connect.testing.conformance.waiting import Waiting


class BackendConformance(Basics, Waiting, Control, Arrays, Dependencies, Fields, Finding, Refusals):
    """All of them."""
