"""The two commands: ``hpc-launch`` and ``hpc-connect``."""
