# shellcheck shell=sh
# During a tour each prompt looks at what the last command did.
export PS1='$([ -e /tmp/tour ] && tour look >&2)\w # '
alias ll='ls -l'
cd /modules
if ! [ -e rust_smpboot_demo.ko ]; then
    echo "In /modules: $(echo *.ko). \`insmod FILE\` loads one, \`modprobe NAME\` also what it needs."
    return
fi
cat <<END
Per-CPU threads that follow CPU hotplug. The modules are in /modules. Try:

  tour                                          ten lessons, step by step
  insmod rust_smpboot_demo.ko                   one thread per CPU
  d=/sys/kernel/debug/rust_smpboot_demo
  cat \$d/summary                                table of all CPUs
  smpboot-top                                   live table with latencies
  echo 1 > \$d/wake                              wake CPU 1's thread; or 0-2,3
  echo 0 > /sys/devices/system/cpu/cpu1/online  CPU 1 offline: its thread parks
  echo 1 > /sys/devices/system/cpu/cpu1/online  online: its thread is unparked
  dmesg | tail                                  the threads' callbacks
  rmmod rust_smpboot_demo

END
