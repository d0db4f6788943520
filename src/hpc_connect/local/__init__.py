"""Jobs on this machine, for the shell backend.

``supervisor`` is a process of its own that runs them, ``link`` is how a client reaches it, ``tracking`` follows jobs
that others run, ``waiting`` keeps those that may not start yet, ``process_tree`` knows what belongs to a job, and
``machine`` what there is to run on.
"""
