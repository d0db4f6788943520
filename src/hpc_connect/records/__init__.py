"""The record protocol: what a job leaves behind. Written down in docs/reference/record-protocol.md.

``line`` reads and writes single records, ``folder`` knows where they lie, ``receipt`` reads what a submit
command printed. ``supervisor.sh`` writes the records beside a job on any host, ``submit.sh`` keeps the receipt;
the shell backend's own supervisor (``hpc_connect.local.supervisor``) writes the same records.
"""
