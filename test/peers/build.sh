#!/bin/bash
# Builds the real peers of the tests: stock Istio, the Kubernetes API, Envoy and h2spec.
#
#   build.sh [GROUP...]      builds what the cache lacks; instant when nothing does
#   build.sh --path GROUP    prints where a group's programs are (or will be)
#
# A group is a folder here: its lock files and the recipe `build`. The result is kept outside the tree,
# in ${CLEW_CACHE:-~/.cache/clew}/peers/GROUP-KEY, where KEY is a hash of that folder.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")"
cache=${CLEW_CACHE:-$HOME/.cache/clew}/peers
all=(istio kubernetes envoy h2spec)

path_of() {
  local key
  key=$(cd "$1" && sha256sum -- * | sha256sum | cut -c1-16)
  echo "$cache/$1-$key"
}

build_group() {
  local group=$1 dest tmp start
  dest=$(path_of "$group")
  [[ -d $dest ]] && return
  mkdir -p "$cache"
  exec 9>"$cache/$group.lock"
  flock -n 9 || { echo "peers: waiting for another build of $group"; flock 9; }
  if [[ ! -d $dest ]]; then
    echo "peers: building $group into $dest"
    start=$SECONDS
    # The lock is ours, so whatever an interrupted build left is nobody's.
    rm -rf "$cache/.$group".*
    tmp=$(mktemp -d "$cache/.$group.XXXXXX")
    (cd "$group" && ./build "$tmp")
    chmod 755 "$tmp"
    mv "$tmp" "$dest"
    echo "peers: $group took $((SECONDS - start)) s"
  fi
  exec 9>&-
}

if [[ ${1:-} == --path ]]; then
  path_of "$2"
  exit
fi
for tool in go pip3 /usr/bin/python3; do
  command -v "$tool" >/dev/null || { echo "peers: $tool is needed to build the test peers" >&2; exit 1; }
done
for group in "${@:-${all[@]}}"; do
  build_group "$group"
done
