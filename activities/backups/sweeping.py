"""What dead attempts have left half done in a store, told from what somebody is storing this moment."""

from quorate.ports import Store, Uploads
from quorate.unfinished import Whose, whose


def swept(store: Store, place: str, prefix: str, uploads: Uploads, now: float) -> tuple[str, ...]:
    """The dead are ended; findings name what another machine is storing."""
    left, live = uploads.left(place), uploads.live(place)
    findings = list[str]()
    for each in store.unfinished(prefix):
        match whose(each, left, live, now):
            case Whose.DEAD:
                store.abandon(each)
            case Whose.ANOTHERS:
                findings.append(
                    f"another machine is storing {each.key}, and last did {max(0.0, now - each.moved):.0f} s ago: "
                    "one daemon is enough for a cluster, and two keep two retentions"
                )
    for key in left:
        if key.startswith(prefix):
            uploads.forget(place, key)
    return tuple(findings)
