# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Shared by the tests of the scripts. Sourced, never run.
#
# A test is a function test_CLAIM. run_tests, the last line of a file, runs those that the file defines, or those whose names
# contain its argument. Each runs in a subshell, in an empty directory of its own, $tmp, with PATH, HOME and LC_ALL as its
# environment.

set -euo pipefail

tests=$(CDPATH='' cd "${BASH_SOURCE[0]%/*}" && pwd -P)
top=${tests%/*/*}
while IFS= read -r name; do
    case $name in
    PATH | PWD | SHLVL | _) ;;
    *) unset "$name" ;;
    esac
done < <(compgen -e)
export LC_ALL=C.UTF-8

# run COMMAND...: $status is its exit status, $output what it wrote to stdout and stderr.
run() {
    status=0
    output=$("$@" 2>&1 </dev/null) || status=$?
}

# fail TEXT: ends the test.
fail() {
    printf '  %s\n' "$1"
    [[ -z ${output:-} ]] || printf '  | %s\n' "${output//$'\n'/$'\n'  | }"
    exit 1
}

# skip WHY: ends the test, which cannot run here.
skip() {
    printf '%s\n' "$1" >"$tmp.skipped"
    exit 0
}

# succeeds COMMAND...; fails COMMAND...: then `says` and `is_silent_about` look at $output.
succeeds() {
    run "$@"
    [[ $status = 0 ]] || fail "exit status $status of: $*"
}
fails() {
    run "$@"
    [[ $status != 0 ]] || fail "exit status 0 of: $*"
}

says() { [[ $output = *"$1"* ]] || fail "not said: $1"; }
is_silent_about() { [[ $output != *"$1"* ]] || fail "said: $1"; }

# equal SEEN EXPECTED
equal() { [[ $1 = "$2" ]] || fail "seen '$1', expected '$2'"; }

exist() {
    local path
    for path; do [[ -e $path ]] || fail "does not exist: $path"; done
}
absent() {
    local path
    for path; do [[ ! -e $path && ! -L $path ]] || fail "exists: $path"; done
}

# checkout DIRECTORY: copies this checkout's sources to there.
checkout() {
    mkdir -p "$1"
    tar -C "$top" --exclude-caches-all --exclude=./build --exclude=./.git -c . | tar -C "$1" -x
}

run_tests() {
    local name claim status failed=() all
    all=$(mktemp -d "${TMPDIR:-/tmp}/rust_smpboot-tests-XXXXXX")
    # shellcheck disable=SC2064
    trap "rm -rf '$all'" EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    for name in $(compgen -A function test_); do
        claim=${name#test_}
        [[ -z ${1:-} || $claim = *"$1"* ]] || continue
        tmp=$all/$claim
        mkdir -p "$tmp/home"
        # Not `(..) || status=$?`, in which `set -e` has no effect.
        set +e
        (
            set -e
            trap - EXIT
            export HOME=$tmp/home
            cd "$tmp"
            "$name"
        ) >"$tmp.failed"
        status=$?
        set -e
        if [[ $status != 0 ]]; then
            failed+=("$tmp.failed")
            printf 'test %s::%s ... FAILED\n' "${0##*/}" "$claim"
        elif [[ -e $tmp.skipped ]]; then
            printf 'test %s::%s ... skipped: %s\n' "${0##*/}" "$claim" "$(<"$tmp.skipped")"
        else
            printf 'test %s::%s ... ok\n' "${0##*/}" "$claim"
        fi
    done
    [[ ${#failed[@]} = 0 ]] || {
        tail -n +1 "${failed[@]}"
        exit 1
    }
}
