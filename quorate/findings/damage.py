"""What etcd says of a log or a database that it cannot read: no start will mend it, but the others have it whole."""

import re

from quorate.clusters.causes import gist
from quorate.nodes.seen import NodeSeen

SIGNS = re.compile(
    r"crc mismatch|wal: file not found|wal: (max entry size|slice bounds)|unexpected EOF|invalid database"
    r"|checksum error|invalid freelist|freepages|unexpected fault address|snap: (crc|empty|no available)"
    r"|failed to recover v3 backend|page \d+: (already freed|unexpected)",
    re.IGNORECASE,
)


def damaged(node: NodeSeen) -> str:
    """The last of its words that says so; nothing where it says nothing of the kind, or runs."""
    return next((gist(word) for word in reversed(node.signs.words) if SIGNS.search(word)), "")
