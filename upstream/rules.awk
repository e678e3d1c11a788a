# SPDX-License-Identifier: GPL-2.0
#
# Makes a file of the kernel from a file of rust/kernel. The rules, of which none changes code:
#
# 1. The imports at the top are those of -v imports=FILE.
# 2. A paragraph or an `# Examples` section of a comment is left out if it names something that only
#    the form for modules outside of the kernel has: `absent`.
# 3. Examples import from the kernel crate.
# 4. An example that uses `?` ends in `Ok`.
#
# With -v code=1 it prints only the code, which must be the same in both files: neither imports nor
# comments.

BEGIN { absent = "scope|EDEADLK|debugfs|Self::sleep|AtomicContext|SelfParking" }

# Imports: items at the top, until the first line of another kind.
!top && /^(use |mod |pub\(crate\) use )/ {
    if (!code && !done) while ((getline line < imports) > 0) print line
    done = 1
    while ($0 !~ /;$/) getline
    next
}
done && !top && $0 == "" { next }
done && !top { top = 1; if (!code) print "" }

code && (/^ *\/\// || $0 == "") { next }
code { print; next }

/^ *\/\/[\/!]/ { comment[++n] = $0; next }
{ flush_comment(); print }
END { flush_comment() }

function body(line) { sub(/^ *\/\/[\/!] ?/, "", line); return line }

# Prints the comment, without what is absent in the kernel.
function flush_comment(    i, j, kept, last, fenced) {
    for (i = 1; i <= n; i = j + 1) {
        # A unit: an `# Examples` section, or the lines to the next blank line.
        j = i
        if (body(comment[i]) == "# Examples") {
            fenced = 0
            while (j < n && (fenced || body(comment[j + 1]) !~ /^# [A-Z]/)) {
                j++
                if (body(comment[j]) ~ /^```/) fenced = !fenced
            }
            while (body(comment[j]) == "") j--
        } else {
            while (j < n && body(comment[j + 1]) != "") j++
        }
        kept = 1
        for (last = i; last <= j; last++) if (comment[last] ~ absent) kept = 0
        if (kept) for (; i <= j; i++) print_comment(comment[i])
        # The blank line that follows goes with the unit, unless it is the last.
        while (j < n && body(comment[j + 1]) == "") { j++; if (kept) blank = comment[j] }
    }
    n = 0
    blank = ""
}

function print_comment(line,    fence, prefix) {
    if (blank != "") { print blank; blank = "" }
    fence = body(line) == "```"
    if (fence && inside && question) {
        prefix = line
        sub(/```.*/, "", prefix)
        print prefix "# Ok::<(), Error>(())"
    }
    if (fence) { inside = !inside; question = 0 }
    else if (inside && line ~ /\?/) question = 1
    if (inside) {
        sub(/use smpboot::hotplug/, "use kernel::cpu::hotplug", line)
        sub(/use smpboot::PerCpu/, "use kernel::percpu::PerCpu", line)
        sub(/use smpboot::/, "use kernel::smpboot::", line)
    }
    print line
}
