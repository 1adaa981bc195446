"""What is wrong with a cluster, how one knows, and what to do about it."""
