"""One file per launcher; the file name is the name of the launcher."""
