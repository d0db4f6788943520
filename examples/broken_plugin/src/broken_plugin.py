"""A plug-in that cannot be imported: it needs a library that is not there. It hurts only its own name."""

import a_library_that_is_not_installed  # noqa: F401 - that it is not there is the point
