#!/usr/bin/env bash
# The messages of xDS, Envoy's and Istio's extensions and OTLP as one static C++ library.
# Their .proto files come inside Go modules, as descriptors. Arguments: scratch folder, output folder.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$1 out=$2

(cd "$here" && GOFLAGS=-mod=readonly go build -o "$work/dump" .)
"$work/dump" <"$here/roots.txt" >"$work/set.pb"

# libprotobuf has the messages of google/protobuf already.
mkdir "$work/generated"
"$work/dump" --names <"$here/roots.txt" | grep -v '^google/protobuf/' |
  xargs protoc --descriptor_set_in="$work/set.pb" --cpp_out="$work/generated"

# A field of jwt_authn is called requires, which C++20 made a keyword and protoc 3.21 does not know: the accessor is
# requires_(). Names in strings (JSON, errors) stay.
find "$work/generated" -path '*jwt_authn*' -name 'config.pb.*' -print0 |
  xargs -0 sed -i -E '/"/!s/\brequires\b/requires_/g'

cmake -S "$here" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE= -DCMAKE_CXX_COMPILER=g++ \
  -DGENERATED="$work/generated" -DCMAKE_INSTALL_PREFIX="$out"
cmake --build "$work/build"
cmake --install "$work/build"
