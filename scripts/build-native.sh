#!/usr/bin/env bash
# Builds the addon from the system's packages: build/Release/sealpoint.node, or with a sanitizer the addon's own test programs.
#   build-native.sh                 the addon
#   build-native.sh bench           build/Release/vector_bench, which bench/sections/peers.ts runs
#   build-native.sh check address   test programs under build/address/, with AddressSanitizer and UndefinedBehaviorSanitizer
#   build-native.sh check thread    the same with ThreadSanitizer
#   build-native.sh check KIND NAME NAME_check alone (KIND Release: without a sanitizer)
# Objects are rebuilt when they or any header they read changed.
set -euo pipefail
cd "$(dirname "$0")/.."
src=src/native/addon
mode=${1:-addon}
kind=${2:-Release}
out=build/$kind
headers=node_modules/node-api-headers/include
if [ ! -d "$headers" ]; then
  # Installed as a package, the headers lie beside it.
  headers=$(node -p 'require("node-api-headers").include_dir')
fi
cxx=${CXX:-g++}
flags="-std=c++20 -O2 -g1 -fPIC -fvisibility=hidden -ffunction-sections -fdata-sections -Wall -Wextra -Wno-unused-parameter -fopenmp -I$src -I$headers"
if [ "$kind" = address ]; then
  flags="$flags -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer"
elif [ "$kind" = thread ]; then
  flags="$flags -fsanitize=thread"
fi
mkdir -p "$out"

compile() { # source
  local object=$out/$(echo "${1#"$src"/}" | tr / _).o
  local deps=${object%.o}.d
  if [ -f "$object" ] && [ -f "$deps" ] && [ "$object" -nt "$0" ]; then
    local stale=0 file
    for file in $(sed -e 's/^[^:]*://' -e 's/\\$//' "$deps"); do
      [ "$file" -nt "$object" ] || [ ! -e "$file" ] && { stale=1; break; }
    done
    [ $stale = 0 ] && return 0
  fi
  $cxx $flags -MMD -MF "$deps" -c "$1" -o "$object" || { rm -f "$object"; return 1; }
}
export -f compile
export cxx flags out src

library=$(find $src -name '*.cc' ! -path "$src/node/*" ! -path "$src/check/*" | sort)
programs=""
if [ "$mode" = check ]; then
  programs=$(find $src/check -name "${3:-*}_check.cc" | sort)
elif [ "$mode" = bench ]; then
  programs=$src/check/vector_bench.cc
else
  library="$library $(find $src/node -name '*.cc' | sort)"
fi
set -- $library $programs
printf '%s\n' "$@" | xargs -P "$(nproc)" -I{} bash -c 'set -uo pipefail; compile "$1"' "$0" {}

objects() { for file in "$@"; do echo "$out/$(echo "${file#"$src"/}" | tr / _).o"; done; }
libs="-l:libfaiss.a -l:libstemmer.a -l:libutf8proc.a -lroaring -lrocksdb -llz4 -lgomp -lpthread -ldl"
if [ "$mode" != addon ]; then
  # The addon itself takes libcrypto from the Node that loads it.
  libs="$libs -lcrypto"
  for program in $programs; do
    name=$(basename "$program" .cc)
    $cxx $flags -o "$out/$name" $(objects $library $program) -Wl,--gc-sections $libs
    echo "built $out/$name"
  done
else
  $cxx -shared -o "$out/sealpoint.node.new" $(objects $library) -Wl,--gc-sections -Wl,-z,now $libs
  mv "$out/sealpoint.node.new" "$out/sealpoint.node"
  echo "built $out/sealpoint.node"
fi
