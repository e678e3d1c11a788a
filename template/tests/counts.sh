# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# The thread of each CPU counts, and the period can be changed within its bounds.

modprobe template_module
d=/sys/kernel/debug/template_module
for cpu in "$d"/cpu*; do
    until [ "$(cat "$cpu/count")" -ge 10 ]; do usleep 10000; done
done
echo 100000 >"$d/period_us"
[ "$(cat "$d/period_us")" = 100000 ]
if echo 99 2>/dev/null >"$d/period_us"; then exit 1; fi
rmmod template_module
[ ! -e "$d" ]
