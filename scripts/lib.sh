# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Shared by the scripts: messages, steps with elapsed seconds, the cache, locks. Sourced, never run.
# Messages go to stderr; stdout carries the script's result.

set -euo pipefail
shopt -s extglob

# A write error on stderr does not end the script.
say() { printf '%s\n' "$*" >&2 || :; }

# die CAUSE [WHAT TO DO]...
die() {
    say "rust_smpboot: error: $1"
    shift
    [[ $# = 0 ]] || printf '  %s\n' "$@" >&2
    exit 1
}

scripts=$(CDPATH='' cd "${0%/*}" && pwd -P)
top=${scripts%/*}

# --- the environment ------------------------------------------------------------------------------

# For the runner: whether the caller's terminal shows ASCII only. The scripts themselves use UTF-8.
case ${LC_ALL:-${LC_CTYPE:-${LANG:-}}} in
*[Uu][Tt][Ff]8* | *[Uu][Tt][Ff]-8*) ;;
*) export RUST_SMPBOOT_ASCII=1 ;;
esac

# kept_where NAME: sets $where to host, root or nowhere: see scripts/environment.
declare -A kept_as=()
kept_patterns=()
while read -r pattern where _; do
    case $pattern in
    '' | '#'*) ;;
    *'*') kept_patterns+=("$pattern $where") ;;
    *) kept_as[$pattern]=$where ;;
    esac
done <"$scripts/environment"
kept_where() {
    local pattern
    where=${kept_as[$1]:-}
    [[ -z $where ]] || return 0
    where=nowhere
    for pattern in "${kept_patterns[@]}"; do
        # shellcheck disable=SC2053
        [[ $1 != ${pattern% *} ]] || where=${pattern#* }
    done
}

# By another exec: bash cannot unset names that are invalid in its syntax, such as those of exported
# functions. The scripts run with `bash -p`, which takes neither functions nor options from the
# environment, and ignores BASH_ENV.
mapfile -d '' -t variables </proc/self/environ
unlisted=()
for variable in "${variables[@]}"; do
    name=${variable%%=*}
    case $variable in
    PWD=* | OLDPWD=* | SHLVL=* | _=* | LC_ALL=C.UTF-8 | =*) continue ;;
    esac
    kept_where "$name"
    [[ $where != nowhere ]] || unlisted+=("--unset=$name")
done
[[ ${#unlisted[@]} = 0 ]] || exec env "${unlisted[@]}" LC_ALL=C.UTF-8 "$0" "$@"

export LC_ALL=C.UTF-8
PATH=$PATH:/usr/sbin:/sbin
umask 022

# --- paths ----------------------------------------------------------------------------------------

# From here on, paths have one spelling, also for the programs that the scripts run: absolute,
# without symbolic links.
case ${XDG_CACHE_HOME:-} in
/*) caches=$XDG_CACHE_HOME ;;
*) caches=${HOME:+$HOME/.cache} ;; # its specification requires to ignore a relative path
esac
: "${RUST_SMPBOOT_CACHE:=$caches}"
for name in RUST_SMPBOOT_CACHE TMPDIR LTP M KDIR CARGO_HOME CARGO_HTTP_CAINFO SSL_CERT_FILE; do
    [[ -z ${!name:-} ]] || export "$name=$(realpath -m -- "${!name}")"
done
cache=$(realpath -m -- "$RUST_SMPBOOT_CACHE/rust_smpboot")

# check_path PATH WHAT_TO_DO: dies if kernel builds, QEMU's options or sed cannot handle the path.
check_path() {
    [[ ! $1 =~ [^[:alnum:]/._+@~-] ]] ||
        die "'$1' contains '${BASH_REMATCH[0]}': kernel builds need paths of only letters, digits and /._+@~-" "$2"
}

# repository_of DIRECTORY: prints the nearest directory above it that is a repository. If there is
# none, prints the second directory of its path: sources may have parts beside them.
repository_of() {
    local directory=$1
    until [[ -z $directory || -e $directory/.git ]]; do directory=${directory%/*}; done
    [[ -n $directory || $1 = /usr/* || ! $1 =~ ^/[^/]+/[^/]+ ]] || directory=${BASH_REMATCH[0]}
    echo "${directory:-$1}"
}
check_path "$top" "Move the checkout."
case $top in
/ | /@(bin|boot|dev|etc|lib*([!/])|proc|run|sbin|sys|usr|var) | /usr/@(bin|games|include|lib*([!/])|local|sbin|share|src) | /@(proc|sys)/*)
    die "the checkout is in $top, where the root file system has its own files" "Move the checkout."
    ;;
esac
check_path "${TMPDIR:-/tmp}" "Set TMPDIR to another directory."
[[ -d ${TMPDIR:-/tmp} ]] || die "TMPDIR=$TMPDIR is not a directory" "Make it, or set TMPDIR to another."

# --- kbuild's outputs -----------------------------------------------------------------------------

# The directories with sources of modules, below the checkout. Other directories in the checkout may
# belong to other programs or be a cache.
module_directories=(
    . bench demo rust/kernel rust/kernel/cpu rust/kernel/cpu/cpuhp rust/kernel/debugfs rust/kernel/module_scope
    rust/kernel/percpu rust/kernel/smpboot
    samples percpu_workqueue percpu_workqueue/exerciser vm-test/modules vm-test/modules/holes vm-test/modules/misuse
)

# module_sources: prints the Rust files of the modules, each followed by a NUL.
module_sources() {
    find "${module_directories[@]/#/"$top"/}" -maxdepth 1 -name '*.rs' -print0
}

# clean_sources: removes the files that a build with M=$top adds beside the sources. Kbuild's own
# clean searches all of $top.
clean_sources() {
    local directory
    for directory in "${module_directories[@]/#/"$top"/}"; do
        rm -f "$directory"/{*.o,*.ko,*.mod,*.mod.c,*.rsi,*.s,*.ll,.*.cmd,.*.d,modules.order,Module.symvers}
    done
    rm -rf "$top/.smpboot"
}

# --- steps ----------------------------------------------------------------------------------------

declare -A job text
partial=() # patterns of the paths in the cache that only this run makes, and must remove if incomplete
ticker=
[[ ${V:-0} != 0 ]] || V=

log_of() { printf '%s/build/log/%s.log' "$top" "$1"; }

# start NAME TEXT COMMAND...: runs COMMAND (or a function) in the background, with its output in the
# log, in its own process group, so that all its processes can be stopped.
start() {
    local name=$1 log why
    text[$name]=$2
    shift 2
    log=$(log_of "$name")
    # Created here, before `finish` follows it.
    why=$({ mkdir -p "${log%/*}" && : >"$log"; } 2>&1) || {
        no_room
        die "cannot write $log: ${why##*: }" "Make $top and everything in build/ writable for $(user), or use another checkout."
    }
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

# finish NAME: waits for the job, and prints how long it took. If it failed, prints why and exits.
# Jobs of less than a second are not printed.
finish() {
    local name=$1 log status=0 took
    log=$(log_of "$name")
    if [[ -n $V ]]; then
        say "${text[$name]}:"
        tail -f -n +1 -s 0.1 --pid="${job[$name]}" "$log" >&2 &
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

# can_redraw: whether stderr is a terminal on which a line can be written again.
can_redraw() { [[ -t 2 && ${TERM:-dumb} != dumb ]]; }

# tick TEXT: counts the seconds in place on a terminal; elsewhere prints TEXT once. Ends with the
# script.
tick() {
    trap - EXIT INT TERM HUP
    reset_clock
    sleep 1 >/dev/null 2>&1
    can_redraw || say "$1 ..."
    while can_redraw && kill -0 $$ 2>/dev/null; do
        # Without line wrap, so that a narrow terminal shows one line.
        printf '\r\033[K\033[?7l%s ... %d s\033[?7h' "$1" "$(seconds)" >&2
        sleep 1 >/dev/null 2>&1
    done
}

stop_ticker() {
    [[ -n $ticker ]] || return 0
    kill -KILL "$ticker" 2>/dev/null || : # it may still have the script's traps
    wait "$ticker" 2>/dev/null || :
    ticker=
    ! can_redraw || printf '\r\033[K' >&2
}

# explain LOG TEXT: the one message for a failed step.
explain() {
    local log=$1
    rm -f "$log.time-$$"
    if grep -q '^rust_smpboot: error:' "$log"; then
        sed -n '/^rust_smpboot: error:/,$p' "$log" >&2
        exit 1
    fi
    no_room
    ! grep -qiE 'No space left on device|enough free space in|Disk quota exceeded' "$log" ||
        die "$2: the file system was full (free now: $(rooms))" \
            "Free some space. The log is $log"
    # make repeats at each of its levels that something failed.
    [[ -n $V ]] || { grep -vE '^make(\[[0-9]+\])?: (Entering|Leaving|\*\*\* (\[|Waiting))' "$log" || :; } | tail -n 20 >&2
    ! grep -qE 'spurious network error|failed to download|Could not resolve host' "$log" ||
        die "the crate registry cannot be reached" "Check the network and cargo's settings. The log is $log"
    die "$2: failed" "The log is $log"
}

# places: prints the places where the scripts write, a line each: NAME, PATH, what to do about a
# full file system.
places() {
    echo "the checkout|$top|move the checkout to a larger file system."
    ! is_ours || echo "the cache|$cache|set RUST_SMPBOOT_CACHE to a directory on a larger file system."
    echo "temporary files|${TMPDIR:-/tmp}|set TMPDIR to a directory on a larger file system."
}

# no_room: dies if one of these places is full. A test write also detects quotas, missing inodes,
# and blocks reserved for root.
no_room() {
    local name path what why
    while IFS='|' read -r name path what; do
        why=$({ head -c 1M /dev/zero >"$path/.room-$$"; } 2>&1) || :
        rm -f "$path/.room-$$"
        [[ $why != *@(No space left on device|Disk quota exceeded)* ]] || full "$name" "$path" "$what"
    done < <(places)
}

# full NAME PATH WHAT_TO_DO [MB]: dies. MB is the needed space.
full() {
    die "no room left on the file system of $1, $2 ($(room "$2") MB free)${4:+: this needs about $4 MB}" "Free some space, or $3"
}

# room PATH: prints the free space there, in megabytes.
room() { df -Pm "$1" | awk 'NR == 2 { print $4 }'; }

rooms() {
    places | while IFS='|' read -r name path _; do echo "$name, $path: $(room "$path") MB"; done | paste -sd';' | sed 's/;/; /g'
}

# need_room NAME MB: dies if that place has less free space.
need_room() {
    local name path what
    while IFS='|' read -r name path what; do
        [[ $name != "$1" ]] || (($(room "$path") >= $2)) || full "$name" "$path" "$what" "$2"
    done < <(places)
}

stopped() {
    local name pid status=$?
    # A child that is killed right after its fork may still have these traps.
    [[ $BASHPID = "$$" ]] || exit "$status"
    trap - EXIT
    trap '' INT TERM HUP
    stop_ticker
    for name in "${!job[@]}"; do
        pid=${job[$name]}
        kill -TERM -- "-$pid" 2>/dev/null || :
        wait "$pid" 2>/dev/null || :
        rm -f "$(log_of "$name").time-$$"
    done
    sweep
    exit "$status"
}
trap stopped EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# --- root and user namespaces ---------------------------------------------------------------------

# as_root COMMAND...: runs it as root, or, for an ordinary user, as root of a user namespace, in
# which the user's files belong to root.
[[ $EUID = 0 ]] && root_of=() || root_of=(unshare --map-auto --map-root-user --)
as_root() { "${root_of[@]}" "$@"; }

# user: prints the name of the current user, or the number if the user has no name.
user() { id -un 2>/dev/null || echo $UID; }

# can_be_root: dies with the cause if as_root cannot work. The most frequent causes are tested
# first.
can_be_root() {
    local sysctl=/proc/sys/kernel why
    if [[ $EUID = 0 ]]; then
        why=$(unshare --mount true 2>&1) || die "root cannot mount file systems: $why" \
            "In a container, allow it: CAP_SYS_ADMIN, or --privileged."
        return
    fi
    command -v newuidmap >/dev/null || die "newuidmap is not installed, and you are not root" \
        "As root: apt-get install uidmap"
    id -un >/dev/null 2>&1 || die "user $UID has no name, which newuidmap needs" "Run this as root, or as a user with a name."
    grep -qE "^($(id -un)|$UID):" /etc/subuid 2>/dev/null || die "you have no sub-uids in /etc/subuid, and are not root" \
        "As root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $(id -un)"
    why=$(as_root true 2>&1) || {
        if [[ $(cat $sysctl/unprivileged_userns_clone 2>/dev/null) = 0 ]]; then
            why="kernel.unprivileged_userns_clone is 0"
        elif [[ $(cat /proc/sys/user/max_user_namespaces 2>/dev/null) = 0 ]]; then
            why="user.max_user_namespaces is 0"
        elif [[ $(cat $sysctl/apparmor_restrict_unprivileged_userns 2>/dev/null) = 1 ]]; then
            why="kernel.apparmor_restrict_unprivileged_userns is 1"
        fi
        die "unprivileged user namespaces are disabled: $why" "Enable them (sysctl), or run this as root."
    }
}

# remove PATH: removes it, with files of sub-uids. Dies if something is mounted below it: rm would
# remove the contents of bind mounts, too.
remove() {
    local path mount
    [[ -e $1 || -L $1 ]] || return 0
    path=$(realpath -s -- "$1")
    while read -r _ _ _ _ mount _; do
        [[ $mount/ != "$path"/* ]] || die "cannot remove $path: $mount is mounted" "Unmount it, or end the programs that use it."
    done </proc/self/mountinfo
    # A user who cannot be root has no files of sub-uids.
    rm -rf --one-file-system -- "$path" 2>/dev/null || as_root rm -rf --one-file-system -- "$path"
}

# --- the cache ------------------------------------------------------------------------------------

# The mark of the cache. Backup programs skip a directory with such a mark:
# https://bford.info/cachedir/
mark="Signature: 8a477f597d28d172789f06886806bc55
# This directory and everything in it belongs to rust_smpboot: 'make distclean' in any checkout \
removes it."

is_ours() { [[ $(cat "$cache/CACHEDIR.TAG" 2>/dev/null) = "$mark" ]]; }
is_empty() {
    local found
    found=$(find "$cache" -mindepth 1 -maxdepth 1 ! -name lost+found -print -quit) && [[ -z $found ]]
}

# check_cache: dies if the cache cannot be used. Does not create it.
check_cache() {
    [[ -n $RUST_SMPBOOT_CACHE ]] || die "neither HOME nor RUST_SMPBOOT_CACHE is set" "Set RUST_SMPBOOT_CACHE to a directory."
    check_path "$cache" "Set RUST_SMPBOOT_CACHE to another directory."
    check_path "$RUST_SMPBOOT_CACHE" "Set RUST_SMPBOOT_CACHE to another directory."
    [[ $cache/ != "$top/build/"* ]] || die "the cache, $cache, is in build/, which 'make clean' removes" \
        "Set RUST_SMPBOOT_CACHE to another directory; elsewhere in the checkout is fine."
    [[ -e $cache ]] || return 0
    [[ -d $cache ]] || die "the cache, $cache, is not a directory" "Move it away, or set RUST_SMPBOOT_CACHE to another directory."
    is_ours || is_empty || { hold && release && is_ours; } || not_ours
}

not_ours() {
    die "$cache is not empty and has no CACHEDIR.TAG of rust_smpboot: another program owns it" \
        "Nothing was changed. Only rust_smpboot may use the cache, because 'make distclean' removes all of it." \
        "Move that directory, or set RUST_SMPBOOT_CACHE: the cache is its subdirectory rust_smpboot."
}

# hold [OPTION]: waits until no other run writes the mark or removes the cache, and blocks such runs
# until `release`. (NFS cannot lock directories.)
hold() {
    exec {cache_fd}<"$cache"
    flock "$@" "$cache_fd" 2>/dev/null || :
}
release() { exec {cache_fd}<&-; }

# make_cache: makes the cache, with its mark, and prevents its removal until the script exits.
make_cache() {
    check_cache
    until is_ours && [[ -n ${cache_fd:-} && $cache -ef /proc/self/fd/$cache_fd ]]; do
        mkdir -p "$cache" || {
            no_room
            die "cannot make the cache, $cache" "Set RUST_SMPBOOT_CACHE to a directory that you may write to."
        }
        if ! is_ours; then
            hold
            is_ours || is_empty || not_ours
            is_ours || { echo "$mark" >"$cache/CACHEDIR.TAG"; } 2>/dev/null || {
                rm -f "$cache/CACHEDIR.TAG"
                no_room
                die "cannot write to the cache, $cache" "Set RUST_SMPBOOT_CACHE to a directory that you may write to."
            }
            release
        fi
        # A shared lock: the calling script may hold it, too.
        hold --shared
    done
}

# lock NAME PATTERN...: until unlock or exit, only this run makes the paths in $cache that match a
# PATTERN, all of which end in .partial. Removes those of a killed run. Children that outlive a
# killed run hold its lock as long as they write.
lock() {
    local name=$1 file=$cache/.lock-$1
    shift
    make_cache
    exec {lock_fd}>>"$file"
    if ! flock -n "$lock_fd"; then
        start "lock-$name" "Waiting for another run (process $(<"$file")) that is making the $name" flock "$lock_fd"
        finish "lock-$name"
    fi
    { echo $$ >"$file"; } 2>/dev/null || :
    partial=("$@")
    sweep
}

unlock() {
    partial=()
    exec {lock_fd}>&-
}

sweep() {
    local pattern path
    for pattern in "${partial[@]}"; do
        for path in "$cache"/$pattern; do
            [[ $path != *.partial ]] || remove "$path"
        done
    done
}

# whole PATH FUNCTION [ARGUMENT...]: calls FUNCTION to make PATH.partial, its first argument, and
# renames that to PATH. Call it under the lock.
whole() {
    [[ ! -e $1 ]] || return 0
    "$2" "$1.partial" "${@:3}"
    mv -T -- "$1.partial" "$1"
}

# ensure PATH MB TEXT FUNCTION [ARGUMENT...]: makes PATH of the cache, as `whole` does, unless it
# exists: takes the lock of its kind (kernel-7.3 is a kernel) and checks for MB megabytes of room.
ensure() {
    local kind=${1##*/}
    kind=${kind%%-*}
    [[ ! -e $1 ]] || return 0
    lock "$kind" "$kind-*.partial"
    need_room "the cache" "$2"
    step "$kind" "$3" whole "$1" "${@:4}"
    unlock
}

# ensure_debian PATH MB TEXT OPTION...: the same for a root file system that these options of
# mmdebstrap describe.
ensure_debian() {
    [[ ! -e $1 ]] || return 0
    can_mmdebstrap
    ensure "${@:1:3}" debian "${@:4}"
}

# ensure_tools PATH MB TEXT PACKAGES: the same with these packages, separated by commas, and without
# their documentation.
ensure_tools() {
    ensure_debian "${@:1:3}" --variant=essential "--include=$4" --aptopt='APT::Install-Recommends "false"' \
        --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/man/*'
}

# --- the package archive --------------------------------------------------------------------------

# mirror: prints the host's Debian mirror, or nothing if the host names none; mmdebstrap then uses
# its default. Other archives look similar, but have no "-updates", except Ubuntu's. To ask apt for
# their origin takes long and needs its lists.
mirror() {
    local uris found=${RUST_SMPBOOT_MIRROR:-}
    if [[ -z $found ]]; then
        uris=$(apt-get update --print-uris 2>/dev/null) || :
        found=$(sed -nE "/ubuntu/d; s|^'(.*)/dists/[^/]+-updates/main/.*|\1|p" <<<"$uris" | sed -n 1p)
    fi
    if [[ -z $found ]]; then
        # shellcheck disable=SC2016
        found=$({ apt-get indextargets --format '$(ORIGIN),$(LABEL),$(REPO_URI)' 2>/dev/null || :; } |
            sed -nE 's|^Debian,Debian,(.*)/$|\1|p' | sed -n 1p)
    fi
    [[ -n $found ]] || found=$(sed -nE "s|^'(.*/debian)/dists/[^/]+/main/.*|\1|p" <<<"$uris" | sed -n 1p)
    echo "$found"
}

# The Debian release of all packages except the kernels, that of the kernels, and the version of the
# gcc that built them.
# shellcheck disable=SC2034
case ${SUITE:-trixie} in
trixie) suite=trixie kernels=trixie-backports gcc=14 ;;
sid) suite=sid kernels=sid gcc=16 ;;
experimental) suite=sid kernels=experimental gcc=16 ;;
*) die "SUITE='$SUITE' is not one of: trixie sid experimental" ;;
esac

can_mmdebstrap() {
    command -v mmdebstrap >/dev/null || die "mmdebstrap is not installed" "As root: apt-get install mmdebstrap uidmap"
    can_be_root
}

debian() { archive run_mmdebstrap "$@"; }

run_mmdebstrap() {
    local directory=$1 uri apt_conf=$top/build/log/apt.conf
    shift
    uri=$(mirror)
    apt_acquire >"$apt_conf"
    remove "$directory"
    # The mounts of mmdebstrap end with this mount namespace, even if mmdebstrap is killed.
    as_root unshare --mount -- mmdebstrap --mode=root "$@" --aptopt="$apt_conf" "$suite" "$directory" ${uri:+"$uri"}
}

# apt_acquire: prints the settings of the host's apt for access to its mirror (proxy, certificates,
# clock, retries).
apt_acquire() {
    apt-config dump | sed -nE '/^Acquire::(https?|ftp|Check-|Max-FutureTime|ForceIPv|Queue-Mode|PDiffs|By-Hash)/p'
    echo 'Acquire::Retries "3";'
}

# archive COMMAND...: runs a command that uses the package archive, and repeats it if the network or
# the mirror failed.
archive() {
    local out cause try status
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

# archive_fault: prints the error in apt's output on stdin if a repetition may help.
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
