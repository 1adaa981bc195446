"""An inventory read, written, and drafted from a cluster that nobody has described yet."""
