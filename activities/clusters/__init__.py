"""Looking at clusters: every node and member at once, and nothing is changed by it."""
