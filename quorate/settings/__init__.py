"""The parts of an inventory, as a person writes them: every value checked where it is read."""
