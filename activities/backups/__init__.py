"""A snapshot's way into a store and what becomes of it there."""
