# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# For M=FOLDER, another module's sources. Sourced by the scripts that build or run it.

# check_folder: dies if M cannot be built, before anything is prepared.
check_folder() {
    local sources
    [[ -d $M ]] || die "M=$M is not a directory"
    check_path "$M" "Move that directory, or name a link to it that has none of these characters."
    case $M in
    "$top") die "M=$M is this checkout" "Leave out M= for its own modules." ;;
    / | /@(bin|boot|dev|etc|lib*([!/])|proc|run|sbin|sys|usr|var) | /usr/@(bin|include|lib*([!/])|local|sbin|share|src) | /@(dev|proc|sys)/*)
        die "M=$M is a directory of the system" "Name the directory with the module's Kbuild."
        ;;
    esac
    [[ -r $M && -x $M ]] || die "M=$M cannot be read by $(user)"
    if [[ -e $M/Kbuild ]]; then sources=$M/Kbuild; else sources=$M/Makefile; fi
    [[ -e $sources ]] || die "M=$M has neither a Kbuild nor a Makefile" \
        "Name the directory of the module's Kbuild. The shortest one has the line: obj-m := NAME.o, for NAME.c or NAME.rs."
    [[ ! -e $M/modules.order ]] || die "M=$M has outputs of an earlier build, and kbuild then builds nowhere else" \
        "Remove them: run make clean there, or delete modules.order and all *.o, *.mod, *.ko and .*.cmd files."
}

# outputs_of RELEASE: prints the directory for the outputs of M's build.
outputs_of() {
    local sum
    sum=$(cksum <<<"$M")
    printf '%s/build/own/%s/%s-%08x\n' "$top" "$1" "${M##*/}" "${sum%% *}"
}
