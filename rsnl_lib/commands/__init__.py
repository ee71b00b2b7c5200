"""What the command line does, a function a command; `rsnl_lib/__main__.py` reads the words."""
