# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# While a CPU is offline its thread does not count. It continues when the CPU is online again.

modprobe template_module
count=/sys/kernel/debug/template_module/cpu1/count
online=/sys/devices/system/cpu/cpu1/online
echo 0 >"$online"
before=$(cat "$count")
usleep 100000
[ "$(cat "$count")" = "$before" ]
echo 1 >"$online"
# More than the one run that a wake of the offline CPU would lead to.
until [ "$(cat "$count")" -ge $((before + 10)) ]; do usleep 10000; done
rmmod template_module
