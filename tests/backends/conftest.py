"""Fixtures for jobs on this machine."""

from local_jobs import backend, clients, shared_folder

__all__ = ["backend", "clients", "shared_folder"]
