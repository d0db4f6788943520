"""An example: a backend and a launcher for hpc_connect, in a package of its own."""
