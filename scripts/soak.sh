#!/usr/bin/env bash
# Repeats what finds rare faults, with new seeds each round: the crash tests (kill -9 of the engine and of the server during writes, 200 kills each in
# the first round) and the wire fuzz.
# SOAK_MINUTES (default 10) bounds it; it stops at the first failure, whose output names its seed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
minutes=${SOAK_MINUTES:-10}
end=$((SECONDS + minutes * 60))
round=0
export SEALPOINT_CRASH_KILLS=200 SEALPOINT_SERVER_KILLS=200 SEALPOINT_FULL_DISK_SOAK=1
echo "soak: crash tests and wire fuzz for $minutes minutes"
while ((SECONDS < end)); do
  round=$((round + 1))
  log=$(mktemp)
  if ! npx vitest run test/crash test/wire >"$log" 2>&1; then
    cat "$log"
    echo "soak: round $round failed"
    exit 1
  fi
  echo "soak: round $round ok, $(((end - SECONDS > 0 ? end - SECONDS : 0) / 60)) minutes left"
  rm -f "$log"
  export SEALPOINT_CRASH_KILLS=20 SEALPOINT_SERVER_KILLS=20
done
