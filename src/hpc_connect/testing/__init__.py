"""The testing kit for users and for authors of plug-ins."""
