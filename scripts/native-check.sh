#!/usr/bin/env bash
# The addon's own test programs, built with clang and run under the address and the thread sanitizer.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CXX=${CXX:-$(command -v clang++ || command -v clang++-14)}
failed=0
for kind in address thread; do
  scripts/build-native.sh check "$kind"
  for program in build/"$kind"/*_check; do
    printf '%-8s %-24s ' "$kind" "$(basename "$program")"
    log=$(mktemp)
    if "$program" >"$log" 2>&1; then
      echo ok
    else
      echo FAILED
      tail -n 60 "$log"
      failed=1
    fi
    rm -f "$log"
  done
done
exit "$failed"
