"""What is looked at and done on a node, as commands and the meaning of what they print."""
