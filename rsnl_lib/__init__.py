"""Robust Student Network Learning (arXiv 1807.11158), executable."""

__version__ = "0.1.0"
