#!/usr/bin/env bash
# llhttp, static, from the C sources inside the Python source distribution httptools. Arguments: scratch folder, output folder.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$1 out=$2

pip=(/usr/bin/python3 -m pip --quiet --disable-pip-version-check --no-input)
hashed=(--no-deps --require-hashes)
# pip asks setuptools for a source distribution's metadata; without isolation it is the pinned one.
"${pip[@]}" install "${hashed[@]}" --only-binary :all: -r "$here/build-requirements.txt" --target "$work/py"
PYTHONPATH=$work/py "${pip[@]}" download "${hashed[@]}" --no-build-isolation --no-binary :all: -r "$here/requirements.txt" -d "$work"
tar -xzf "$work"/httptools-*.tar.gz -C "$work" --strip-components=1

src=$work/vendor/llhttp
mkdir -p "$out/include" "$out/lib"
flags=()
[[ $(uname -m) == x86_64 ]] && flags=(-msse4.2)  # other processors' compilers do not know it
for f in api http llhttp; do
  gcc -O3 "${flags[@]}" -fPIC -ffunction-sections -fdata-sections -I "$src/include" -c "$src/src/$f.c" -o "$work/$f.o"
done
ar rcs "$out/lib/libllhttp.a" "$work"/{api,http,llhttp}.o
cp "$src/include/llhttp.h" "$out/include/"
cp "$src"/LICENSE* "$out/"
