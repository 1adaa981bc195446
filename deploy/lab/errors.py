"""What the lab refuses or cannot do, in one sentence that names what to do."""

from __future__ import annotations


class LabError(Exception):
    """The lab could not do it; the message says why and what helps."""
