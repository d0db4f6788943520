"""What the library says of what it does, for people who look for a fault."""

from __future__ import annotations

import logging

_HANDLER = "hpc_connect.set_debug"


def set_debug(on: bool = True) -> None:
    """Show on stderr what the library does (True), or no longer (False).

    All of it goes to the logger ``hpc_connect`` and those below it, which can be set up in any other way too.
    """
    logger = logging.getLogger("hpc_connect")
    for handler in [handler for handler in logger.handlers if handler.name == _HANDLER]:
        logger.removeHandler(handler)
    logger.setLevel(logging.DEBUG if on else logging.NOTSET)
    if on:
        handler = logging.StreamHandler()
        handler.name = _HANDLER
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
        logger.addHandler(handler)
