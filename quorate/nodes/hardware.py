"""What a machine has, and what its cron does to etcd's backups, as a survey asks for it."""

# Deletion by age in whatever cron starts about etcd, one script further; a snapshot that is taken there by hand.
CRONS = r"""
set -- $(ls -d /etc/crontab /etc/cron.d/* /etc/cron.hourly/* /etc/cron.daily/* /etc/cron.weekly/* \
  /var/spool/cron/* /var/spool/cron/crontabs/* /etc/systemd/system/*backup*.service \
  /etc/systemd/system/*snapshot*.service 2>/dev/null)
if [ $# != 0 ]; then
  set -- "$@" $(grep -shoE '/[A-Za-z0-9_./-]*(etcd|backup|snapshot)[A-Za-z0-9_.-]*' "$@" | sort -u | head -n 20)
  grep -IsHoE 'find [^|;&]*-mtime [^|;&]*(-delete|-exec +rm)|etcdctl [^|;&]*snapshot save' "$@" | head -n 10 |
    sed 's/^\([^:]*\):\(.*\)$/habit\t\1\t\2/'
fi
"""

MACHINE = r"""printf 'cpus\t'; nproc; sed -n 's/^MemTotal: *\([0-9]*\) kB$/memory\t\1/p' /proc/meminfo"""


def habits(rows: list[list[str]]) -> tuple[tuple[str, str], ...]:
    """File and what was found in it, once; of a snapshot not its words, for a password may stand among them."""
    found = (
        (row[1], "etcdctl snapshot save" if row[2].startswith("etcdctl") else row[2].strip())
        for row in rows
        if row[0] == "habit" and len(row) == 3
    )
    return tuple(dict.fromkeys(found))
