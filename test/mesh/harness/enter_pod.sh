#!/bin/bash
# Becomes a container of a test pod: enter_pod.sh DIR USER COMMAND...; USER is root, or UID:GID:CAPABILITIES (those that it keeps).
# Runs in the pod's network namespace and a private mount namespace. The container sees the host's files through an overlay,
# so that what it writes lands in DIR, and DIR/files in place of /etc/hosts, /etc/istio, /var/lib/istio and /var/run/secrets.
# BINDS: colon-separated FROM=TO: files and folders of the host's that it sees elsewhere, and as they are.
# READ_ONLY_ROOT=true: nothing but those mounts can be written.
set -euo pipefail
dir=$1 user=$2
shift 2
root=$dir/root
mkdir -p "$root" "$dir/upper/layer" "$dir/upper/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$dir/upper/layer,workdir=$dir/upper/work" "$root"
for path in proc sys dev; do
  mount --rbind "/$path" "$root/$path"
done
mount -t tmpfs tmpfs "$root/run"
IFS=: read -ra binds <<<"$BINDS"
for bind in "${binds[@]}"; do
  from=${bind%%=*} to=$root${bind##*=}
  if [[ -d $from ]]; then mkdir -p "$to"; else touch "$to"; fi
  mount --bind "$from" "$to"
done
mkdir -p "$root/run/secrets"
mount --bind "$dir/files/var/run/secrets" "$root/run/secrets"  # /var/run is a link to /run
for path in etc/istio var/lib/istio; do
  mkdir -p "$root/$path"
  mount --bind "$dir/files/$path" "$root/$path"
done
mount --bind "$dir/files/etc/hosts" "$root/etc/hosts"
cp --remove-destination "$dir/files/etc/resolv.conf" "$root/etc/resolv.conf"  # the host's may be a link to anywhere
if [[ $READ_ONLY_ROOT == true ]]; then
  mount -o remount,ro "$root"
  mount -o remount,ro "$root/run"
fi
unset BINDS READ_ONLY_ROOT
if [[ $user == root ]]; then
  exec chroot "$root" "$@"
fi
IFS=: read -r uid gid capabilities <<<"$user"
exec chroot "$root" setpriv --reuid "$uid" --regid "$gid" --clear-groups --inh-caps=-all --bounding-set="$capabilities" --no-new-privs "$@"
