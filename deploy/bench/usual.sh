#!/usr/bin/env bash
# Backup and restore the way operators do it by hand, without mistakes and without dawdling.
#   usual.sh backup    snapshot of one member, packed, into S3
#   usual.sh restore   fetch, copy to every node, stop, move aside, restore node by node, start, wait for health
# Given by the environment: NODES ("name=address ..."), ENDPOINTS, CA CERT KEY, SSH_KEY KNOWN_HOSTS, WORK,
# ETCDCTL, OBJECT, UPLOAD and DOWNLOAD (commands: FILE OBJECT, OBJECT FILE), DATA_DIR, CONTROL_PLANE (units or empty).
set -euo pipefail

# One connection a node, kept: a login each time would cost the script seconds.
ssh_options=(-q -i "$SSH_KEY" -o "UserKnownHostsFile=$KNOWN_HOSTS" -o StrictHostKeyChecking=yes -o BatchMode=yes
  -o ControlMaster=auto -o "ControlPath=$WORK/%h" -o ControlPersist=60)
etcdctl=("$ETCDCTL" --endpoints "$ENDPOINTS" --cacert "$CA" --cert "$CERT" --key "$KEY")

on() { local address=$1; shift; ssh "${ssh_options[@]}" "quorate@$address" "$@"; }
say() { echo "$(date +%s.%N) $*"; }

hang_up() {
  for node in $NODES; do ssh "${ssh_options[@]}" -O exit "quorate@${node#*=}" 2>/dev/null || true; done
}
trap hang_up EXIT

backup() {
  local one=${ENDPOINTS%%,*}
  "$ETCDCTL" --endpoints "$one" --cacert "$CA" --cert "$CERT" --key "$KEY" snapshot save "$WORK/usual.db" >/dev/null
  zstd -q -f -T0 "$WORK/usual.db" -o "$WORK/usual.db.zst"
  $UPLOAD "$WORK/usual.db.zst" "$OBJECT"
}

restore() {
  local cluster="" token="restored-$(date +%s)" node name address
  for node in $NODES; do
    name=${node%%=*} address=${node#*=}
    cluster+="${cluster:+,}$name=https://$address:2380"
  done

  say fetch
  $DOWNLOAD "$OBJECT" "$WORK/fetched.db.zst"
  zstd -q -f -d "$WORK/fetched.db.zst" -o "$WORK/fetched.db"

  say copy
  for node in $NODES; do
    scp "${ssh_options[@]}" "$WORK/fetched.db" "quorate@${node#*=}:/tmp/usual.db"
  done

  if [[ -n $CONTROL_PLANE ]]; then
    say stop the control plane
    for node in $NODES; do on "${node#*=}" "sudo systemctl stop $CONTROL_PLANE"; done
  fi
  say stop
  for node in $NODES; do on "${node#*=}" "sudo systemctl stop etcd"; done

  say move
  for node in $NODES; do on "${node#*=}" "! sudo test -e $DATA_DIR || sudo mv $DATA_DIR $DATA_DIR.before-$token"; done

  say restore
  for node in $NODES; do
    name=${node%%=*} address=${node#*=}
    on "$address" "sudo etcdutl snapshot restore /tmp/usual.db --name $name --data-dir $DATA_DIR \
      --initial-cluster $cluster --initial-cluster-token $token \
      --initial-advertise-peer-urls https://$address:2380 >/dev/null 2>&1 \
      && sudo chown -R etcd:etcd $DATA_DIR && rm /tmp/usual.db"
  done

  say start
  for node in $NODES; do on "${node#*=}" "sudo systemctl start --no-block etcd"; done

  say wait
  until "${etcdctl[@]}" endpoint health --command-timeout=2s >/dev/null 2>&1; do sleep 0.2; done

  if [[ -n $CONTROL_PLANE ]]; then
    say start the control plane
    for node in $NODES; do on "${node#*=}" "sudo systemctl start --no-block $CONTROL_PLANE"; done
    for node in $NODES; do
      for unit in $CONTROL_PLANE; do  # `is-active` of several is satisfied by one
        until on "${node#*=}" "systemctl is-active -q $unit"; do sleep 0.2; done
      done
    done
  fi
  say done
}

"$1"
