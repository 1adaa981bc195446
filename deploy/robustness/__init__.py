"""Whole restores with a fault or two each, judged by the cluster alone: `make robustness`."""
