"""One file per scheduler; the file name is the name of the backend."""
