"""Bytes on their way: read ahead, hashed, packed, opened, made slower, never held whole."""
