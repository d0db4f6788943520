"""Each process of an MPI program says which one it is; all of them together count themselves."""

import os

from mpi4py import MPI

world = MPI.COMM_WORLD
me = f"rank {world.Get_rank()} of {world.Get_size()} on {MPI.Get_processor_name()}, process {os.getpid()}"
everybody = world.gather(me)  # None everywhere but at rank 0
if everybody is not None:
    print("\n".join(everybody))
