"""Accuracy under noise and attack, and the statistics of differences."""
