"""``python -m hpc_connect`` is the command ``hpc-connect``."""

from __future__ import annotations

import sys

from hpc_connect.cli.connect import main

sys.exit(main())
