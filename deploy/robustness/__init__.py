"""Whole restores with one fault each, judged by the cluster alone: `make robustness`."""
