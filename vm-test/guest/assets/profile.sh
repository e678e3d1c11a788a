# shellcheck shell=sh
export PS1='\w # '
alias ll='ls -l'
cd /modules
cat <<END
Per-CPU threads that follow CPU hotplug: /modules has the modules. Try:

  insmod rust_smpboot_demo.ko                      one thread per CPU
  d=/sys/kernel/debug/rust_smpboot_demo
  cat \$d/summary                                   what they have done
  smpboot-top                                      the same with latencies, live
  echo 1 > \$d/wake                                 wake CPU 1's; takes lists: 0-2,3 or all
  echo 0 > /sys/devices/system/cpu/cpu1/online     CPU 1 goes: its thread parks
  echo 1 > /sys/devices/system/cpu/cpu1/online     and is back
  dmesg | tail                                     the steps of their lives
  rmmod rust_smpboot_demo

END
