#!/usr/bin/env bash
# What Envoy's API demands of the fields of its messages, as text for config/xds/constraints.cc. Arguments: scratch folder, output folder.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$1 out=$2

(cd "$here" && GOFLAGS=-mod=readonly go build -o "$work/write" .)
mkdir -p "$out/include"
"$work/write" >"$out/include/envoy_constraints.inc"
