#!/usr/bin/env bash
# The addon's own tests, under AddressSanitizer with UndefinedBehaviorSanitizer and under ThreadSanitizer.
#   native-check.sh [address|thread]...   both by default
set -euo pipefail
cd "$(dirname "$0")/.."
seed=${SEALPOINT_TEST_SEED:-$RANDOM}
echo "native-check: seed $seed (SEALPOINT_TEST_SEED)"
for sanitizer in "${@:-address thread}"; do
  for kind in $sanitizer; do
    scripts/build-native.sh check "$kind"
    # FAISS and libgomp are not instrumented: what is known of them stands in the suppressions.
    export TSAN_OPTIONS="suppressions=$PWD/src/native/addon/check/tsan.supp halt_on_error=1 second_deadlock_stack=1"
    export ASAN_OPTIONS="detect_leaks=1 halt_on_error=1" UBSAN_OPTIONS="print_stacktrace=1"
    for program in build/"$kind"/*_check; do
      arguments=$seed
      [ "$(basename "$program")" = filter_check ] && arguments="$seed test/filter/oracle-cases.jsonl"
      echo "== $program $arguments"
      # shellcheck disable=SC2086
      "$program" $arguments
    done
  done
done
echo "native-check: passed"
