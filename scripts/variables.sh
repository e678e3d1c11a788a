# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Checks the values of the variables of `make help`. Sourced by the scripts that use them. An empty
# variable has its default.

shopt -s extglob

# check_variables TARGET: dies if a variable has an invalid value. Call it before the script
# prepares anything.
check_variables() {
    local kernel=${KERNEL:-cloud} arch=${ARCH:-amd64} least=1 most
    one_of KERNEL cloud generic rt 16k debug kcsan
    one_of ARCH amd64 arm64 armhf loong64
    one_of TCG single multi
    one_of DAT 0 1
    one_of FRESH 0 1
    matches OPTIONS '[A-Za-z_]+=[^ ]*( +[A-Za-z_]+=[^ ]*)*' "variables for kbuild, like CONFIG_X=m"
    one_of V 0 1
    case $kernel/$arch in
    debug/amd64 | kcsan/amd64) most=16 ;; # CONFIG_NR_CPUS of scripts/debug.config
    debug/* | kcsan/*) die "KERNEL=$kernel is for ARCH=amd64 only, not for ARCH=$arch" ;;
    */armhf | */loong64)
        [[ $kernel = generic ]] || die "ARCH=$arch is for KERNEL=generic only, not for KERNEL=$kernel"
        [[ ${SUITE:-trixie} != trixie ]] || die "ARCH=$arch needs SUITE=sid or experimental: trixie-backports has no kernel for it"
        most=8
        ;;
    16k/amd64) die "KERNEL=16k is for ARCH=arm64 only, not for ARCH=$arch" ;;
    */amd64) most=128 ;; # with more, QEMU's machine "pc" does not boot when emulated
    */arm64) most=8 ;;   # QEMU's machine "virt" with a GICv2
    esac
    case $1/$kernel/$arch in
    bugs/cloud/amd64 | thirdparty/*/amd64) ;;
    bugs/*) die "planted bugs are for the default kernel, not for KERNEL=$kernel ARCH=$arch" "Leave out KERNEL= and ARCH=." ;;
    headers-deb/debug/* | headers-deb/kcsan/* | dkms/debug/* | dkms/kcsan/*)
        die "KERNEL=$kernel is not a kernel of Debian, and has no package of headers"
        ;;
    headers-deb/*/@(armhf|loong64)) die "headers-deb is for ARCH=amd64 and arm64 only, not for ARCH=$arch" ;;
    dkms/*/!(amd64)) die "test-dkms is for ARCH=amd64 only: this machine cannot run programs for $arch" ;;
    thirdparty/*) die "test-thirdparty is for ARCH=amd64 only: the programs that it unpacks are not for $arch" ;;
    torture/*) least=2 ;; # one of them goes offline
    esac
    case ${DAT:-0}/$kernel/$arch in
    1/16k/* | 1/*/@(armhf|loong64))
        die "DAT=1 is for kernels with pages of 4 KiB and words of 64 bits: trace-cmd restores no other traces"
        ;;
    esac
    number CPUS $least $most '' " for KERNEL=$kernel ARCH=$arch"
    number PACE 0 3600 decimals ' (seconds)'
    number WEB 0 65535 '' ' (1: any free port)'
    number GDB 1 65535 '' ' (a port on 127.0.0.1)'
    number MINUTES 0.1 100000 decimals
    number SEED 0 4294967295
    number BOOTS 1 99
    matches KERNEL_VERSION '[0-9][0-9A-Za-z.+~-]*' "a kernel version like 7.3.4+deb13"
    matches T '[0-9A-Za-z_:.-]+' "a part of a test's name: letters, digits and _:.-"
    [[ -z ${HERD7:-} ]] || type -P -- "$HERD7" >/dev/null || die "HERD7='$HERD7' is not a program"
    [[ -z ${DIR:-} || $1 != new ]] || check_path "$DIR" "Choose another DIR."
    [[ -z ${GDB:-} || $1 = @(shell|play|gdb|module|kernel) || $1/${M:-} = test/?* ]] ||
        die "GDB= is for vm, play, test with M=, and gdb, not for $1"
    [[ -z ${GDB:-} || $arch = @(amd64|arm64) ]] || die "GDB= is for ARCH=amd64 and arm64 only, not for ARCH=$arch"
    [[ -z ${M:-} ]] || check_folder "$1"
    [[ -z ${KDIR:-} ]] || check_own_kernel "$1"
    [[ -z ${LTP:-} || -d $LTP ]] || die "LTP='$LTP' is not a directory"
}

# check_folder TARGET: dies if M, another module's sources, cannot be built.
check_folder() {
    [[ $1 = @(shell|test|dkms|kernel|gdb|editor) ]] || die "M= is for vm, test and test-dkms, not for $1"
    [[ -d $M ]] || die "M=$M is not a directory"
    check_path "$M" "Move that directory."
    # shellcheck disable=SC2154
    case $M in
    "$top") die "M=$M is this checkout" "Leave out M= for its own modules." ;;
    / | /@(bin|boot|dev|etc|lib*([!/])|proc|run|sbin|sys|usr|var) | /usr/@(bin|include|lib*([!/])|local|sbin|share|src) | /@(dev|proc|sys)/*)
        die "M=$M is a directory of the system" "Name the directory with the module's Kbuild."
        ;;
    esac
    [[ -r $M && -x $M ]] || die "M=$M cannot be read by $(user)"
    [[ -e $M/Kbuild || -e $M/Makefile ]] || die "M=$M has neither a Kbuild nor a Makefile" \
        "Name the directory of the module's Kbuild. The shortest Kbuild is: obj-m := NAME.o, for NAME.c or NAME.rs."
    [[ ! -e $M/modules.order ]] || die "M=$M has outputs of an earlier build, and kbuild then builds nowhere else" \
        "Remove them: run make clean there, or delete modules.order and all *.o, *.mod, *.ko and .*.cmd files."
}

# check_own_kernel TARGET: dies if KDIR cannot be that target's kernel.
check_own_kernel() {
    [[ $1 = @(demo|shell|test|torture|kernel|gdb|editor) ]] || die "KDIR= is for demo, vm, test and torture, not for $1"
    [[ -z ${KERNEL:-}${KERNEL_VERSION:-} ]] || die "KDIR= names a kernel, and so does KERNEL${KERNEL_VERSION:+_VERSION}=" "Leave out one of them."
    [[ -d $KDIR ]] || die "KDIR=$KDIR is not a directory"
    check_path "$KDIR" "Move that directory."
}

# one_of NAME VALUE...
one_of() {
    local name=$1 value
    shift
    [[ -n ${!name:-} ]] || return 0
    for value; do [[ ${!name} != "$value" ]] || return 0; done
    die "$name='${!name}' is not one of: $*"
}

# number NAME LEAST MOST [DECIMALS [REMARK]]
number() {
    local value=${!1:-} pattern='^[0-9]{1,12}$' what="a whole number"
    [[ -n $value ]] || return 0
    if [[ -n ${4:-} ]]; then pattern='^[0-9]{1,12}([.][0-9]{1,9})?$' what="a number"; fi
    if ! [[ $value =~ $pattern ]] || ! within "$value" "$2" "$3"; then
        die "$1='$value' is not $what from $2 to $3${5:-}"
    fi
}

# within NUMBER LEAST MOST
within() { awk -v "n=$1" -v "least=$2" -v "most=$3" 'BEGIN { exit !(n + 0 >= least + 0 && n + 0 <= most + 0) }'; }

# matches NAME PATTERN TEXT
matches() {
    [[ -z ${!1:-} || ${!1} =~ ^$2$ ]] || die "$1='${!1}' is not $3"
}
