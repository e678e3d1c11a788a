# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Shared by the scripts: messages, steps with elapsed seconds, the cache, locks. Sourced, never run.
# All talk goes to stderr: stdout is each script's answer.

set -euo pipefail
# For the runner: whether the user's terminal shows ASCII only. Programs here run in UTF-8.
case ${LC_ALL:-${LC_CTYPE:-${LANG:-}}} in
*[Uu][Tt][Ff]8* | *[Uu][Tt][Ff]-8*) ;;
*) export RUST_SMPBOOT_ASCII=1 ;;
esac
export LC_ALL=C.UTF-8
unset CDPATH
PATH=$PATH:/usr/sbin:/sbin

scripts=$(cd "${0%/*}" && pwd -P)
top=${scripts%/*}
cache=${RUST_SMPBOOT_CACHE:-${XDG_CACHE_HOME:-${HOME:-}/.cache}/rust_smpboot}

# A stderr that takes nothing is no reason to end.
say() { printf '%s\n' "$*" >&2 || :; }

# die CAUSE [WHAT TO DO]...
die() {
    say "rust_smpboot: error: $1"
    shift
    [[ $# = 0 ]] || printf '  %s\n' "$@" >&2 || :
    exit 1
}

[[ -n ${RUST_SMPBOOT_CACHE:-}${XDG_CACHE_HOME:-}${HOME:-} ]] || die "neither HOME nor RUST_SMPBOOT_CACHE is set"
for path in "$top" "$cache"; do
    case $path in
    *[[:space:]:\\]*) die "'$path' has a space, colon or backslash in it, which kernel builds cannot cope with" \
        "Move the checkout, or set RUST_SMPBOOT_CACHE." ;;
    /*) ;;
    *) die "RUST_SMPBOOT_CACHE='$path' is not an absolute path" ;;
    esac
done

# --- steps ----------------------------------------------------------------------------------------

declare -A job text
ours=()   # what we alone make, and must not leave behind half-made
ticker=
[[ ${V:-0} != 0 ]] || V=

log_of() { printf '%s/build/log/%s.log' "$top" "$1"; }

# start NAME TEXT COMMAND...: runs COMMAND (or a function) beside us, its output in the log, in a process group of its own
# so that all of it can be stopped.
start() {
    local name=$1 log
    text[$name]=$2
    shift 2
    log=$(log_of "$name")
    mkdir -p "${log%/*}"
    set -m
    (
        set +m
        trap - INT TERM HUP
        trap 'seconds >"$log.time-$$"' EXIT
        reset_clock
        "$@"
    ) </dev/null >"$log" 2>&1 &
    job[$name]=$!
    set +m
}

reset_clock() { clock=${EPOCHREALTIME/[.,]/}; }
seconds() { echo $(((${EPOCHREALTIME/[.,]/} - clock) / 1000000)); }

# finish NAME: waits for it, tells how long it took; if it failed tells why and exits. What is quick is not mentioned.
finish() {
    local name=$1 log status=0 took
    log=$(log_of "$name")
    if [[ -n $V ]]; then
        say "${text[$name]}:"
        tail -f -n +1 --pid="${job[$name]}" "$log" >&2 &
    else
        tick "${text[$name]}" &
    fi
    ticker=$!
    wait "${job[$name]}" || status=$?
    unset "job[$name]"
    if [[ -n $V ]]; then wait "$ticker" || :; fi
    stop_ticker
    [[ $status = 0 ]] || explain "$log" "${text[$name]}"
    took=$(<"$log.time-$$")
    rm "$log.time-$$"
    [[ $took = 0 ]] || say "${text[$name]}: $took s"
}

# step NAME TEXT COMMAND...
step() {
    start "$@"
    finish "$1"
}

# tick TEXT: counts the seconds in place on a terminal, says TEXT once elsewhere; never outlives us.
tick() {
    trap - EXIT INT TERM HUP
    reset_clock
    sleep 1 >/dev/null 2>&1
    [[ -t 2 ]] || say "$1 ..."
    while [[ -t 2 ]] && kill -0 $$ 2>/dev/null; do
        printf '\r\033[K%s ... %d s' "$1" "$(seconds)" >&2
        sleep 1 >/dev/null 2>&1
    done
}

stop_ticker() {
    [[ -n $ticker ]] || return 0
    kill -KILL "$ticker" 2>/dev/null || : # it may still have our traps
    wait "$ticker" 2>/dev/null || :
    ticker=
    [[ ! -t 2 ]] || printf '\r\033[K' >&2
}

# explain LOG TEXT: the one message for a failed step.
explain() {
    local log=$1
    rm -f "$log.time-$$"
    if grep -q '^rust_smpboot: error:' "$log"; then
        sed -n '/^rust_smpboot: error:/,$p' "$log" >&2
        exit 1
    fi
    ! grep -qiE 'No space left on device|enough free space in|Disk quota exceeded' "$log" || no_room
    [[ -n $V ]] || tail -n 20 "$log" >&2
    ! grep -qE 'spurious network error|failed to download|Could not resolve host' "$log" ||
        die "the crate registry cannot be reached" "Look at the network and at cargo's settings. The log is $log"
    die "$2: failed" "The log is $log"
}

no_room() {
    mkdir -p "$cache" 2>/dev/null || :
    die "no room left on the disk of $cache ($(room) MB free)${1:+: this needs about $1 MB}" \
        "Free some, or set RUST_SMPBOOT_CACHE to a folder on a larger disk."
}

room() { df -Pm "$cache" | awk 'NR == 2 { print $4 }'; }

need_room() {
    mkdir -p "$cache"
    (($(room) >= $1)) || no_room "$1"
}

stopped() {
    local pid status=$?
    # A child killed just after its birth may still have our traps.
    [[ $BASHPID = "$$" ]] || exit "$status"
    trap - EXIT
    trap '' INT TERM HUP
    stop_ticker
    for pid in "${job[@]}"; do
        kill -TERM -- "-$pid" 2>/dev/null || :
        wait "$pid" 2>/dev/null || :
    done
    sweep
    exit "$status"
}
trap stopped EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# --- root, or as good as ---------------------------------------------------------------------------

# as_root COMMAND...: as root; for an ordinary user, as root of a user namespace, where his own files are root's.
[[ $EUID = 0 ]] && root_of=() || root_of=(unshare --map-auto --map-root-user --)
as_root() { "${root_of[@]}" "$@"; }

# can_be_root: dies with the cause if not. The order is from what is asked for most to what is asked for least.
can_be_root() {
    local sysctl=/proc/sys/kernel why
    if [[ $EUID = 0 ]]; then
        why=$(unshare --mount true 2>&1) || die "root may not mount anything here ($why)" \
            "In a container, give it the right to (CAP_SYS_ADMIN, or --privileged)."
        return
    fi
    command -v newuidmap >/dev/null || die "newuidmap is not installed, and you are not root" \
        "As root: apt-get install uidmap"
    grep -qE "^($(id -un)|$UID):" /etc/subuid 2>/dev/null || die "you have no sub-uids (/etc/subuid), and are not root" \
        "As root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $(id -un)"
    why=$(as_root true 2>&1) || {
        if [[ $(cat $sysctl/unprivileged_userns_clone 2>/dev/null) = 0 ]]; then
            why="kernel.unprivileged_userns_clone is 0"
        elif [[ $(cat /proc/sys/user/max_user_namespaces 2>/dev/null) = 0 ]]; then
            why="user.max_user_namespaces is 0"
        elif [[ $(cat $sysctl/apparmor_restrict_unprivileged_userns 2>/dev/null) = 1 ]]; then
            why="kernel.apparmor_restrict_unprivileged_userns is 1"
        fi
        die "user namespaces are forbidden here, and you are not root: $why" "Change that (sysctl), or run this as root."
    }
}

remove() { [[ ! -e $1 && ! -L $1 ]] || as_root rm -rf --one-file-system -- "$1"; }

# --- the cache ------------------------------------------------------------------------------------

# lock NAME PATTERN...: until unlock or exit we alone make what PATTERNs of $cache name; what a killed run left is removed.
# Children that outlive a killed run hold its lock as long as they write.
lock() {
    local name=$1 file=$cache/.lock-$1
    shift
    mkdir -p "$cache"
    exec {lock_fd}>>"$file"
    if ! flock -n "$lock_fd"; then
        start "lock-$name" "Waiting for another run (process $(<"$file")) that is making the $name" flock "$lock_fd"
        finish "lock-$name"
    fi
    { echo $$ >"$file"; } 2>/dev/null || :
    ours=("$@")
    sweep
}

unlock() {
    ours=()
    exec {lock_fd}>&-
}

sweep() {
    local pattern path
    for pattern in "${ours[@]}"; do
        for path in "$cache"/$pattern; do remove "$path"; done
    done
}

# whole PATH FUNCTION: FUNCTION makes all of PATH.partial, its argument, which then becomes PATH. Call it under the lock.
whole() {
    [[ ! -e $1 ]] || return 0
    "$2" "$1.partial"
    mv -T -- "$1.partial" "$1"
}

# --- the package archive --------------------------------------------------------------------------

# mirror: where the host gets Debian from; nothing if it does not say, and then mmdebstrap knows a default. Other people's
# archives look much the same, but have no "-updates"; to be told by apt whose they are takes long, and needs its lists.
mirror() {
    local uris found=${RUST_SMPBOOT_MIRROR:-}
    if [[ -z $found ]]; then
        uris=$(apt-get update --print-uris 2>/dev/null) || :
        found=$(sed -nE "s|^'(.*)/dists/[^/]+-updates/main/.*|\1|p" <<<"$uris" | sed -n 1p)
    fi
    if [[ -z $found ]]; then
        # shellcheck disable=SC2016
        found=$({ apt-get indextargets --format '$(ORIGIN),$(LABEL),$(REPO_URI)' 2>/dev/null || :; } |
            sed -nE 's|^Debian,Debian,(.*)/$|\1|p' | sed -n 1p)
    fi
    [[ -n $found ]] || found=$(sed -nE "s|^'(.*/debian)/dists/[^/]+/main/.*|\1|p" <<<"$uris" | sed -n 1p)
    echo "$found"
}

# The release that all of Debian here is of, but the kernels: they are of its backports.
suite=trixie

can_mmdebstrap() {
    command -v mmdebstrap >/dev/null || die "mmdebstrap is not installed" "As root: apt-get install mmdebstrap uidmap"
    can_be_root
}

# debian FOLDER OPTION...: what these options of mmdebstrap ask for.
debian() {
    local folder=$1 uri apt_conf=$top/build/log/apt.conf
    shift
    uri=$(mirror)
    apt_acquire >"$apt_conf"
    remove "$folder"
    # What mmdebstrap mounts goes away with this mount namespace, however it ends.
    as_root unshare --mount -- mmdebstrap --mode=root "$@" --aptopt="$apt_conf" "$suite" "$folder" ${uri:+"$uri"}
}

# apt_acquire: what the host's apt was told about the way to its mirror (proxy, certificates, clock, retries).
apt_acquire() {
    apt-config dump | sed -nE '/^Acquire::(https?|ftp|Check-|Max-FutureTime|ForceIPv|Queue-Mode|PDiffs|By-Hash)/p'
    echo 'Acquire::Retries "3";'
}

# archive COMMAND...: runs what talks to the package archive, again when the network or the mirror was at fault.
archive() {
    local out cause try status
    mkdir -p "$cache"
    out=$(mktemp)
    for try in 1 2 3; do
        set +e
        (set -e; "$@") 2>&1 | tee "$out"
        status=${PIPESTATUS[0]}
        set -e
        cause=$(archive_fault <"$out")
        rm "$out"
        [[ $status != 0 ]] || return 0
        [[ -n $cause ]] || return "$status"
        echo "--- try $try: the archive $cause"
        [[ $try = 3 ]] || if [[ $cause = *reached* ]]; then sleep 3; else sleep $((try * 15)); fi
    done
    die "the package archive $cause" \
        "Its address: $(mirror | grep . || echo "mmdebstrap's default"). Try later, or name another: RUST_SMPBOOT_MIRROR=URL"
}

# archive_fault: what in apt's words on stdin is worth another try.
archive_fault() {
    awk '
        /Hash Sum mismatch|unexpected size|[Mm]irror sync|404 +Not Found|not have a Release file|xpired|not valid yet/ { sync = 1 }
        /Could not resolve|failure resolving|ould not connect|nable to connect|Connection (failed|refused|timed out|reset)/ { net = 1 }
        /Network is unreachable|Cannot initiate the connection|Could not handshake|Certificate verification failed/ { net = 1 }
        /No space left on device|enough free space in/ { full = 1 }
        END {
            if (full) exit
            if (net) print "cannot be reached"
            else if (sync) print "is in the middle of an update, or lacks what it lists"
        }'
}
