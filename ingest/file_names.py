"""What stands for names of source files; the store and the sources both use it."""

from typing import Final

EVERYTHING: Final = "*"
"""In place of a name: all files of the last day, where it is not known in which of them a lost scan was."""
