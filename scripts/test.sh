#!/usr/bin/env bash
# Runs every suite and ends with one line for each. Expects scripts/setup.sh and scripts/build-native.sh to have run.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

closing=()
failed=0

# suite NAME COMMAND... : runs it, keeps its last line of figures.
suite() {
  local name=$1 log code
  shift
  log=$(mktemp)
  printf '\n=== %s\n' "$name"
  "$@" 2>&1 | tee "$log"
  code=${PIPESTATUS[0]}
  local last
  last=$(sed 's/\x1b\[[0-9;]*m//g' "$log" | grep -E '^ *Tests +[0-9]|[0-9]+ (passed|failed)|^packages:' | tail -n 1 | sed 's/^ *//')
  closing+=("$(printf '%-12s %s  %s' "$name" "$([[ $code == 0 ]] && echo ok || echo FAILED)" "$last")")
  if ((code != 0)); then
    failed=1
    # Who sees the end of the run alone learns what failed.
    closing+=("$(sed 's/\x1b\[[0-9;]*m//g' "$log" | grep -E -A 4 '^ *(FAIL |FAILED |--- FAIL)|Unhandled' | cut -c 1-300 | head -n 40)")
  fi
  rm -f "$log"
}

run_go() {
  local module log code=0
  log=$(mktemp)
  while read -r module; do
    (cd "$(dirname "$module")" && go vet ./... && go test -count=1 ./...) || code=1
  done < <(find clients/go bench/loadgen -name go.mod | sort) > >(tee "$log")
  wait $!
  echo "packages: $(grep -c ^ok "$log") ok, $(grep -c ^FAIL "$log") failed"
  rm -f "$log"
  return "$code"
}

# The clients' live tests talk to a server of their own, on free ports and an empty folder.
server_pid=
server_log=$(mktemp)
server_data=$(mktemp -d)
stop_server() {
  [[ -z $server_pid ]] || { kill -TERM "$server_pid" && wait "$server_pid"; } 2>/dev/null
  rm -rf "$server_data" "$server_log"
}
trap stop_server EXIT

start_server() {
  node bin/sealpoint.mjs serve --grpc-port 0 --http-port 0 --data-dir "$server_data" --log-level warn >"$server_log" 2>&1 &
  server_pid=$!
  local target
  for _ in {1..200}; do
    target=$(sed -nE 's/^ +gRPC +([0-9.]+:[0-9]+)$/\1/p' "$server_log")
    [[ -n $target ]] && break
    kill -0 "$server_pid" 2>/dev/null || break
    sleep 0.1
  done
  if [[ -z $target ]]; then
    cat "$server_log"
    return 1
  fi
  export SEALPOINT_TEST_GRPC=$target
}

suite server npx vitest run
if start_server; then
  suite python .venv/bin/python -m pytest -q clients/python
  suite go run_go
else
  closing+=("clients      FAILED  the server for their live tests did not start")
  failed=1
fi

printf '\n=== closing lines\n'
printf '%s\n' "${closing[@]}"
exit "$failed"
