# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Shared by the tests of the scripts. Sourced, never run.
#
# A test is a function test_CLAIM. run_tests, the last line of a file, runs all tests of the file,
# or those whose names contain its argument. Each test runs in a subshell, in its own empty
# directory, $tmp, with PATH, HOME, LC_ALL and SUITE as its environment.

set -euo pipefail

tests=$(CDPATH='' cd "${BASH_SOURCE[0]%/*}" && pwd -P)
top=${tests%/*/*}
while IFS= read -r name; do
    case $name in
    PATH | PWD | SHLVL | SUITE | _) ;;
    *) unset "$name" ;;
    esac
done < <(compgen -e)
export LC_ALL=C.UTF-8

# run COMMAND...: runs it, and sets $status to its exit status and $output to its stdout and stderr.
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

# skip WHY: ends a test that cannot run on this machine.
skip() {
    printf '%s\n' "$1" >"$tmp.skipped"
    exit 0
}

# succeeds COMMAND...; fails COMMAND...: run it. Then `says` and `is_silent_about` check $output.
succeeds() {
    run "$@"
    [[ $status = 0 ]] || fail "exit status $status of: $*"
}
fails() {
    run "$@"
    [[ $status != 0 ]] || fail "exit status 0 of: $*"
}

says() { [[ $output = *"$1"* ]] || fail "missing in the output: $1"; }
is_silent_about() { [[ $output != *"$1"* ]] || fail "unexpected in the output: $1"; }

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

# as_script CHECKOUT CODE: runs CODE as a script of that checkout, after scripts/lib.sh.
as_script() { bash -pc ". \"\${0%/*}/lib.sh\"; $2" "$1/scripts/as_script"; }

# in_private_mounts FUNCTION: runs the rest of the test, FUNCTION, in its own mount namespace.
in_private_mounts() {
    if [[ $EUID != 0 ]] || ! unshare --mount true 2>/dev/null; then skip "not root, or root may not mount"; fi
    export tmp
    unshare --mount -- bash -pc ". '$tests/lib.sh'; tmp='$tmp'; export HOME=\$tmp/home; $(declare -f); $1"
}

# make_writable DIRECTORY: lets the test write there until its mounts end.
make_writable() {
    local layer=$tmp/layer${1//\//-}
    mkdir "$layer"
    mount -t tmpfs none "$layer"
    mkdir "$layer/upper" "$layer/work"
    mount -t overlay -o "lowerdir=$1,upperdir=$layer/upper,workdir=$layer/work" none "$1" ||
        skip "overlay file systems are missing"
}

# fake_root CHECKOUT: makes a root file system for scripts/enter, with a few programs of the host.
# $root is its path.
fake_root() {
    local program
    as_script "$1" make_cache
    root=$("$1/scripts/rootfs" -n) || :
    mkdir -p "$root"/{dev,etc/ssl/certs,proc,sys,tmp,usr/bin}
    mkdir -p "$root/usr/lib/locale"
    cp -r /usr/lib/locale/C.utf8 "$root/usr/lib/locale"
    ln -sfn usr/bin "$root/bin"
    touch "$root"/etc/{hosts,resolv.conf,ssl/certs/ca-certificates.crt}
    for program in bash cat env pwd; do
        program=$(type -P "$program")
        cp "$program" "$root/usr/bin"
        ldd "$program" | sed -nE 's,.*[[:space:]](/[^ ]+) \(.*,\1,p' | while IFS= read -r library; do
            mkdir -p "$root${library%/*}"
            cp -n "$library" "$root$library" 2>/dev/null || :
        done
    done
}

run_tests() {
    local name claim status failed=() all ran=
    all=$(mktemp -d "${TMPDIR:-/tmp}/rust_smpboot-tests-XXXXXX")
    # shellcheck disable=SC2064
    trap "rm -rf '$all'" EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    for name in $(compgen -A function test_); do
        claim=${name#test_}
        [[ -z ${1:-} || $claim = *"$1"* ]] || continue
        ran=1
        tmp=$all/$claim
        mkdir -p "$tmp/home"
        export HOME=$tmp/home
        # Not `(..) || status=$?`, in which `set -e` has no effect.
        set +e
        (
            set -e
            trap - EXIT
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
    [[ $ran ]] || {
        printf 'no test of %s has %s in its name\n' "${0##*/}" "${1:-}"
        exit 1
    }
    [[ ${#failed[@]} = 0 ]] || {
        tail -n +1 "${failed[@]}"
        exit 1
    }
}
