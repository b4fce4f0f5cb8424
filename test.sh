#!/usr/bin/env bash
# Runs all tests in release mode: installs what is missing, builds, tests.
#
#   ./test.sh                               all tests
#   ./test.sh --filter SwanCheckpointTests  some of them; arguments go to `swift test`
#
# Needs the network only until the Swift packages are fetched. The last line is `N passed, M failed`.
# SWAN_TEST_DEVICES names the devices that are tested, as reference,cpu.
set -euo pipefail

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")" && pwd)
say() { printf '%s\n' "$*" >&2; }

"$root/Scripts/bootstrap" --tests

# No test asks for testable imports, so tests and program share one build of the libraries.
settings=(--package-path "$root" -c release)
swift build "${settings[@]}" --build-tests </dev/null >&2 || {
    say "The build failed; the lines above say why."
    exit 70
}

# Without it the tests that compile kernels say that they were skipped; with SWAN_REQUIRE_NVRTC they fail.
"$root/Scripts/fetch-nvrtc" >/dev/null || true

log=$(mktemp)
trap 'rm -f -- "$log"' EXIT
status=0
swift test "${settings[@]}" --skip-build --disable-xctest "$@" </dev/null 2>&1 |
    # A line for each case of each test says nothing that its test's line does not.
    grep -a --line-buffered -v -e '^◇ ' | tee "$log" || status=${PIPESTATUS[0]}

# "Test run with 28 tests in 4 suites failed after 0.1 seconds with 3 issues."
total=$(grep -aE "^(✔|✘) Test run with [0-9]+ test" "$log" | tail -n 1 | grep -oE "[0-9]+" | head -n 1) || total=0
failed=$(grep -acE "^✘ Test .* failed after [0-9.]+ seconds" "$log") || true
if grep -aqE "^✘ Test run with" "$log"; then failed=$((failed - 1)); fi
if ((status == 0 && total == 0)); then
    say "No test ran."
    status=65
elif ((status != 0 && failed == 0)); then
    say "The tests stopped before their end; the lines above say where."
    failed=1
fi
echo "$((total > failed ? total - failed : 0)) passed, $failed failed"
exit "$status"
