"""What is broken on purpose, where that is permitted, and what it has shown."""
