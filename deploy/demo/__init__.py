"""The story of one disaster: `make demo`."""
