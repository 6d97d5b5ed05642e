#!/usr/bin/env bash
# AWS-LC (libssl, libcrypto), static, from the sources inside the crate aws-lc-sys. Arguments: scratch folder, output folder.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$1 out=$2

mkdir -p "$work/crate/src"
cp "$here/Cargo.toml" "$here/Cargo.lock" "$work/crate/"
touch "$work/crate/src/lib.rs"
(cd "$work/crate" && cargo vendor --locked --quiet "$work/vendor" >/dev/null)

cmake -S "$work/vendor/aws-lc-sys/aws-lc" -B "$work/build" -G Ninja \
  -DCMAKE_C_COMPILER=gcc -DCMAKE_CXX_COMPILER=g++ -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_INSTALL_PREFIX="$out" -DCMAKE_INSTALL_LIBDIR=lib \
  -DCMAKE_C_FLAGS="-ffunction-sections -fdata-sections" \
  -DBUILD_SHARED_LIBS=OFF -DCMAKE_POSITION_INDEPENDENT_CODE=ON \
  -DBUILD_TESTING=OFF -DBUILD_TOOL=OFF -DDISABLE_GO=ON -DDISABLE_PERL=ON
cmake --build "$work/build" --target ssl crypto
cmake --install "$work/build"
cp "$work/vendor/aws-lc-sys/aws-lc/LICENSE" "$out/"
