#!/usr/bin/env bash
# Builds the pinned third-party libraries once per machine, outside the tree.
#
#   third_party/build.sh [NAME...]         build what is missing (all of them without a name) and say so
#   third_party/build.sh --prefix NAME     print the folder where NAME is or will be
#
# A result lives in $CLEW_CACHE/third_party/NAME-KEY (CLEW_CACHE defaults to ~/.cache/clew). KEY is a hash of everything
# that decides the result: lock files, recipe, compiler. It appears by a rename, so it is there whole or not at all;
# runs at the same time wait for each other.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${CLEW_CACHE:-$HOME/.cache/clew}/third_party
names=(awslc llhttp messages constraints)

prefix() {
  local name=$1 key
  key=$({
    (cd "$here" && find "$name" -type f | LC_ALL=C sort | xargs sha256sum)
    gcc -dumpfullversion -dumpmachine
    if [[ $name == messages ]]; then protoc --version; fi
  } | sha256sum | cut -c1-16)
  echo "$cache/$name-$key"
}

build() {
  local name=$1 out log work
  out=$(prefix "$name")
  [[ -d $out ]] && return
  mkdir -p "$cache"
  exec 8>"$cache/$name.lock"
  flock -n 8 || { echo "third_party: waiting for another build of $name"; flock 8; }
  if [[ ! -d $out ]]; then
    rm -rf "$cache/.$name".*  # the lock is ours, so whatever is there was interrupted
    work=$(mktemp -d "$cache/.$name.XXXXXX")
    mkdir "$work/work" "$work/out"
    log=$out.log
    echo "third_party: building $name (once per machine, log in $log)"
    local start=$SECONDS
    if ! "$here/$name/build.sh" "$work/work" "$work/out" >"$log" 2>&1 8>&-; then
      tail -n 40 "$log" >&2
      echo "third_party: $name failed, the whole log is $log" >&2
      rm -rf "$work"
      exit 1
    fi
    mv "$work/out" "$out"
    rm -rf "$work"
    echo "third_party: $name is ready after $((SECONDS - start)) s"
  fi
  exec 8>&-
}

if [[ ${1:-} == --prefix ]]; then
  prefix "$2"
  exit
fi
[[ $# -gt 0 ]] || set -- "${names[@]}"
for name in "$@"; do
  [[ -x $here/$name/build.sh ]] || { echo "third_party: there is no recipe for $name" >&2; exit 1; }
  build "$name"
done
