"""The way back of a bundle: a script beside a node's files that lays them onto a blank one, without Quorate too."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from quorate.nodes.packed import Packed

_SCRIPT = r"""#!/bin/sh
# Lays the files of {node} onto a blank node: as root, where the bundle was unpacked. Nothing that is there is
# overwritten, and nothing is started. `lay.sh undo` takes away what was not there before.
set -eu
here=$(dirname -- "$(readlink -f -- "$0")")
laid=${{QUORATE_LAID:-/var/lib/quorate/laid}}
rows() {{ cat <<'ROWS'
{rows}
ROWS
}}
runs() {{ case $(systemctl is-active -- "$1") in active|activating|reloading) true ;; *) false ;; esac; }}
beside() {{ above=${{1%/*}}; echo "${{above%/*}}/${{1##*/}}.quorate-fenced"; }}  # where no kubelet reads it
reasons() {{
  rows | while read -r kind mode owner path; do
    case $kind in
    data) [ ! -e "$path/member" ] || echo "$path holds a member: this node is not blank" ;;
    file) [ ! -e "$path" ] || cmp -s -- "$here/rootfs$path" "$path" || echo "$path is there, and is another one" ;;
    dir) [ ! -e "$path" ] || [ -d "$path" ] || echo "$path is there, and is no directory" ;;
    pod)
      for there in "$path" "$(beside "$path")"; do
        [ ! -e "$there" ] || cmp -s -- "$here/rootfs$path" "$there" || echo "$there is there, and is another one"
      done ;;
    unit) ! runs "$path" || echo "$path runs" ;;
    esac
  done
}}
refuse() {{
  [ -z "$1" ] || {{ printf 'refused, nothing was changed: %s\n' "$1" >&2; exit 4; }}
}}
once() {{ echo "$*" >>"$laid"; sync "$laid"; }}
lay() {{
  refuse "$(reasons)"
  mkdir -p -- "$(dirname -- "$laid")"
  rows | while read -r kind mode owner path; do
    case $kind in
    group) getent group "$path" >/dev/null || {{ once group "$path"; groupadd -r -g "$mode" "$path"; }} ;;
    user)
      getent passwd "$path" >/dev/null || {{
        once user "$path"
        useradd -r -M -u "${{mode%:*}}" -g "${{mode#*:}}" -d "${{owner%:*}}" -s "${{owner#*:}}" "$path"
      }} ;;
    dir) [ -d "$path" ] || {{ once dir "$path"; mkdir -m "$mode" -- "$path"; chown -- "$owner" "$path"; }} ;;
    file)
      [ -e "$path" ] || {{
        once file "$path"
        install -m "$mode" -o "${{owner%:*}}" -g "${{owner#*:}}" -- "$here/rootfs$path" "$path"
      }} ;;
    pod)
      to=$(beside "$path")
      [ -e "$path" ] || [ -e "$to" ] || {{
        once file "$to"
        install -m "$mode" -o "${{owner%:*}}" -g "${{owner#*:}}" -- "$here/rootfs$path" "$to"
      }} ;;
    unit)
      systemctl daemon-reload
      systemctl is-enabled --quiet -- "$path" || {{ once unit "$path"; systemctl enable --quiet -- "$path"; }} ;;
    esac
  done
  sync
}}
undo() {{
  [ -f "$laid" ] || exit 0
  refuse "$(rows | while read -r kind _ _ path; do
    [ "$kind" != unit ] || ! runs "$path" || echo "$path runs"
  done)"
  tac -- "$laid" | while read -r kind path; do
    case $kind in
    unit) systemctl disable --quiet -- "$path" ;;
    file) rm -f -- "$path" ;;
    dir) rmdir -- "$path" 2>/dev/null || [ ! -d "$path" ] || echo "$path stays: it is not empty" ;;
    user) userdel "$path" ;;
    group) groupdel "$path" 2>/dev/null || true ;;
    esac
  done
  rm -f -- "$laid"
  sync
}}
case ${{1:-}} in
'') lay ;;
undo) undo ;;
*) echo "usage: lay.sh [undo]" >&2; exit 2 ;;
esac
"""


def script(
    node: str, about: Mapping[str, Any], packed: Iterable[Packed], data: tuple[str, ...], pods: Collection[str] = ()
) -> str:
    """Users first, directories before what is in them, units last."""
    return _SCRIPT.format(node=node, rows="\n".join(rows(about, packed, data, pods)))


def rows(
    about: Mapping[str, Any], packed: Iterable[Packed], data: tuple[str, ...], pods: Collection[str] = ()
) -> Iterator[str]:
    """`kind mode owner path`, a line each; manifests of static pods apart, for a kubelet starts what it reads."""
    for line in about["groups"]:
        name, _, number = line.split(":")[:3]
        yield f"group {number} - {name}"
    for line in about["users"]:
        name, _, uid, gid, _, home, shell = line.split(":")
        yield f"user {uid}:{gid} {home}:{shell} {name}"
    yield from (f"data - - {path}" for path in data)
    for each in sorted(packed, key=lambda one: one.path):
        kind = "dir" if each.data is None else "pod" if each.path in pods else "file"
        yield f"{kind} {each.mode:o} {each.owner or each.uid}:{each.group or each.gid} {each.path}"
    for name, unit in sorted(about["units"].items()):
        if unit.get("UnitFileState") == "enabled":
            yield f"unit - - {name}"
