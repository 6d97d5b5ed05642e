#!/usr/bin/env bash
# Makes a Debian 12 machine ready: installs the packages of apt.txt that are missing, and says what it cannot install.
#   third_party/setup.sh [root]      root: the caller is going to need root as well (the mesh does: network namespaces)
# With everything there it takes a tenth of a second and says nothing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
need_root=${1:-}

mapfile -t wanted < <(sed -E 's/#.*//; s/[[:space:]].*//; /^$/d' "$here/apt.txt")
mapfile -t missing < <(comm -23 <(printf '%s\n' "${wanted[@]}" | sort) \
  <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null | sed -n 's/^installed //p' | sort))

go_new_enough() {
  local version
  version=$(go env GOVERSION 2>/dev/null) || return
  [[ $(printf '%s\n' go1.26 "$version" | sort -V | head -1) == go1.26 ]]
}

lacking=()
if [[ $EUID -ne 0 ]]; then
  if [[ -n $need_root ]]; then
    lacking+=("root")
  elif ((${#missing[@]})); then
    lacking+=("root (to install ${missing[*]})")
  fi
fi
go_new_enough || lacking+=("Go 1.26 or newer")
cargo --version >/dev/null 2>&1 || lacking+=("cargo")
if ((${#lacking[@]})); then
  list=$(printf ', %s' "${lacking[@]}")
  echo "setup: this machine lacks what cannot be installed from here: ${list:2}." >&2
  exit 1
fi

if ((${#missing[@]})); then
  echo "setup: installing ${#missing[@]} Debian packages: ${missing[*]}"
  log=$(mktemp)
  # The packages are for their programs: no daemon is to be started on this machine.
  policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy ]]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  export DEBIAN_FRONTEND=noninteractive
  if ! { apt-get update -q && apt-get install -q -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
    tail -n 20 "$log" >&2
    echo "setup: apt-get failed, the whole log is $log" >&2
    exit 1
  fi
  rm -f "$log"
fi
