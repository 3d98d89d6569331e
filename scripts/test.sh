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
  last=$(sed 's/\x1b\[[0-9;]*m//g' "$log" | grep -E 'Tests +[0-9]|passed|failed|^(ok|FAIL|---)|no tests' | tail -n 1)
  closing+=("$(printf '%-12s %s  %s' "$name" "$([[ $code == 0 ]] && echo ok || echo FAILED)" "$last")")
  ((code == 0)) || failed=1
  rm -f "$log"
}

run_go() { (cd clients/go && go vet ./... && go test ./...); }

suite server npx vitest run
if compgen -G 'clients/python/tests/test_*.py' >/dev/null; then
  suite python .venv/bin/python -m pytest -q clients/python
fi
if compgen -G 'clients/go/**/*_test.go' >/dev/null || compgen -G 'clients/go/*_test.go' >/dev/null; then
  suite go run_go
fi

printf '\n=== closing lines\n'
printf '%s\n' "${closing[@]}"
exit "$failed"
