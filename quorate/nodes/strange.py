"""Flags that etcd does not know: published all the same, or of another minor version.

Each was tried on a real etcd: on a command line it exits with 2, in the environment or a file it passes over them.
"""

from collections.abc import Iterator

from quorate.members.etcd import numbered
from quorate.nodes.seen import UnitSeen

# No etcd has ever had these; beside each, what does what its name promises.
NONEXISTENT = {
    "max-watcher-per-resource": "watches are limited by the API server, not by etcd",
    "auto-snapshot": "a schedule takes backups, etcd does not",
    "snapshot-interval": "a schedule takes backups, etcd does not",
    "backup-dir": "a schedule takes backups, etcd does not",
    "restore": "a restore is made with etcdutl beside the live data",
    "experimental-compression": "backups are compressed by whoever takes them",
    "audit-log-path": "kube-apiserver keeps an audit log, etcd does not",
    "audit-log-format": "kube-apiserver keeps an audit log, etcd does not",
    "enable-audit": "kube-apiserver keeps an audit log, etcd does not",
    "experimental-audit-log": "kube-apiserver keeps an audit log, etcd does not",
    "auto-defrag": "a schedule defragments, one member at a time",
    "experimental-auto-defrag": "a schedule defragments, one member at a time",
    "encryption-provider-config": "it is a flag of kube-apiserver",
}
# What a later, or an earlier, etcd does not know: by its minor version.
FIRST_IN = {"feature-gates": (3, 6, 0), "max-learners": (3, 6, 0)}
GONE_IN = (3, 7, 0)  # everything that begins with experimental-


def strangers(unit: UnitSeen, version: str = "") -> Iterator[tuple[str, str]]:
    """Flags that this etcd does not know, and what is right instead."""
    at = numbered(version) if version else None
    for flag in unit.flags:
        if flag in NONEXISTENT:
            yield flag, NONEXISTENT[flag]
        elif at and flag in FIRST_IN and at < FIRST_IN[flag]:
            yield flag, f"etcd has it from {'.'.join(map(str, FIRST_IN[flag][:2]))} on"
        elif at and flag.startswith("experimental-") and at >= GONE_IN:
            yield flag, "it has lost the word `experimental-`, or is gone"


def removal(process: str, flag: str) -> str:
    if process.startswith("/"):
        return f"vi {process}  # take {flag} out; the kubelet starts it again"
    out = f"take {flag} out of it, or of the file that it names"
    return f"systemctl cat {process}  # {out}; then: systemctl daemon-reload && systemctl restart {process}"
