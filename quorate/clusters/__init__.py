"""A cluster as all of its nodes and members were seen at one moment."""
