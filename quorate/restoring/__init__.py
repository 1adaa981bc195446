"""What decides about a restore or a replacement before anything is stopped, and what it took afterwards."""
