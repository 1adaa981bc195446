#!/usr/bin/env bash
# Backup and restore the way operators do it by hand, without mistakes and without dawdling.
#   usual.sh backup    snapshot of one member, packed, encrypted, into S3
#   usual.sh restore   fetch, open, copy to every node, stop, move aside, restore node by node, start, wait for health
# Given by the environment: NODES ("name=address ..."), ENDPOINTS, CA CERT KEY, SSH_KEY KNOWN_HOSTS, WORK,
# ETCDCTL, AGE, RECIPIENTS and IDENTITY (a file), OBJECT, UPLOAD and DOWNLOAD (commands: FILE OBJECT, OBJECT FILE),
# DATA_DIR OWNER, CONTROL_PLANE (names or empty). With units no more; with static pods MANIFESTS (the kubelet's directory), ASIDE (where a manifest is out of its
# sight, %s its name) and ETCDUTL (a program to bring along: kubeadm puts none on a node).
set -euo pipefail

# One connection a node, kept: a login each time would cost the script seconds.
ssh_options=(-q -i "$SSH_KEY" -o "UserKnownHostsFile=$KNOWN_HOSTS" -o StrictHostKeyChecking=yes -o BatchMode=yes
  -o ControlMaster=auto -o "ControlPath=$WORK/%h" -o ControlPersist=60)
etcdctl=("$ETCDCTL" --endpoints "$ENDPOINTS" --cacert "$CA" --cert "$CERT" --key "$KEY")
PATIENCE_S=35 # longer than any pod's grace
etcdutl=etcdutl
[[ -z $ETCDUTL ]] || etcdutl=/var/tmp/etcdutl # /tmp may forbid programs

on() { local address=$1; shift; ssh "${ssh_options[@]}" "quorate@$address" "$@"; }
everywhere() { local node; for node in $NODES; do on "${node#*=}" "$@"; done; }
say() { echo "$(date +%s.%N) $*"; }
manifest() { echo "$MANIFESTS/$1.yaml"; }
aside() { printf "$ASIDE" "$1"; }

hang_up() {
  for node in $NODES; do ssh "${ssh_options[@]}" -O exit "quorate@${node#*=}" 2>/dev/null || true; done
}
trap hang_up EXIT

# A pod's end is waited for as its grace lets it: the manifests of all nodes are out before the first is waited for. A
# kubelet whose API server has no etcd hangs for minutes and sees none of it, so in the end the containers are stopped.
stop() {
  local name limit=$(($(date +%s) + PATIENCE_S))
  if [[ -z $MANIFESTS ]]; then everywhere "sudo systemctl stop $*"; return; fi
  for name in "$@"; do
    everywhere "! sudo test -e $(manifest "$name") || sudo mv $(manifest "$name") $(aside "$name")"
  done
  everywhere "for name in $*; do
    while test -n \"\$(sudo crictl pods --quiet --state ready --name ^\$name-)\"; do
      test \$(date +%s) -lt $limit || for each in $*; do
        sudo crictl ps --quiet --name ^\$each\$ | xargs -r sudo crictl stop --timeout 0 >&2
      done
      sleep 0.2
    done
  done"
}

start() {
  local name
  if [[ -z $MANIFESTS ]]; then everywhere "sudo systemctl start --no-block $*"; return; fi
  for name in "$@"; do everywhere "sudo mv $(aside "$name") $(manifest "$name")"; done
}

wait_for() {
  local name
  for name in "$@"; do # `is-active` of several is satisfied by one
    if [[ -z $MANIFESTS ]]; then
      everywhere "until systemctl is-active -q $name; do sleep 0.2; done"
    else
      everywhere "until test -n \"\$(sudo crictl ps --quiet --state running --name '^$name\$')\"; do sleep 0.2; done"
    fi
  done
  # A unit of an API server is active when it is ready; of a pod nobody but the API server itself says so.
  [[ -z $MANIFESTS ]] || everywhere "until sudo kubectl --kubeconfig /etc/kubernetes/admin.conf get --raw /readyz \
    >/dev/null 2>&1; do sleep 0.2; done"
}

backup() {
  local one=${ENDPOINTS%%,*} each recipients=()
  for each in $RECIPIENTS; do recipients+=(-r "$each"); done
  say snapshot
  "$ETCDCTL" --endpoints "$one" --cacert "$CA" --cert "$CERT" --key "$KEY" snapshot save "$WORK/usual.db" >/dev/null
  say pack
  zstd -q -f -3 -T0 "$WORK/usual.db" -o "$WORK/usual.db.zst"
  say encrypt
  "$AGE" "${recipients[@]}" -o "$WORK/usual.db.zst.age" "$WORK/usual.db.zst"
  say upload
  $UPLOAD "$WORK/usual.db.zst.age" "$OBJECT"
  say done
}

restore() {
  local cluster="" token="restored-$(date +%s)" node name address
  for node in $NODES; do
    name=${node%%=*} address=${node#*=}
    cluster+="${cluster:+,}$name=https://$address:2380"
  done

  say fetch
  $DOWNLOAD "$OBJECT" "$WORK/fetched.db.zst.age"
  "$AGE" -d -i "$IDENTITY" "$WORK/fetched.db.zst.age" | zstd -q -f -d -o "$WORK/fetched.db"

  say copy
  for node in $NODES; do
    scp "${ssh_options[@]}" "$WORK/fetched.db" "quorate@${node#*=}:/tmp/usual.db"
    [[ -z $ETCDUTL ]] || scp "${ssh_options[@]}" "$ETCDUTL" "quorate@${node#*=}:$etcdutl"
  done

  if [[ -n $CONTROL_PLANE ]]; then
    say stop the control plane
    stop $CONTROL_PLANE
  fi
  say stop
  stop etcd

  say move
  everywhere "! sudo test -e $DATA_DIR || sudo mv $DATA_DIR $DATA_DIR.before-$token"

  say restore
  for node in $NODES; do
    name=${node%%=*} address=${node#*=}
    on "$address" "sudo $etcdutl snapshot restore /tmp/usual.db --name $name --data-dir $DATA_DIR \
      --initial-cluster $cluster --initial-cluster-token $token \
      --initial-advertise-peer-urls https://$address:2380 >/dev/null 2>&1 \
      && sudo chown -R $OWNER $DATA_DIR && rm /tmp/usual.db"
  done

  say start
  start etcd

  say wait
  until "${etcdctl[@]}" endpoint health --command-timeout=2s >/dev/null 2>&1; do sleep 0.2; done

  if [[ -n $CONTROL_PLANE ]]; then
    say start the control plane
    start $CONTROL_PLANE
    wait_for $CONTROL_PLANE
  fi
  say done
}

"$1"
