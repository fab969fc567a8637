#!/usr/bin/env bash
# Makes RESULTS.md of the results.tsv of one run, or of several that divided the rows:
# ID FAULT INJECTED EXPECTED SEEN RECOVERY VERDICT.
set -euo pipefail
: "${1:?usage: table.sh results.tsv…}"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

cat <<TEXT
# The fault matrix, as a run saw it

Made by \`cluster/chaos/run.sh\` of $(date -u +%Y-%m-%d) with tessera $("${TESSERA:-tessera}" --version 2>/dev/null || echo '?') on
$(nproc) cores, $(uname -sr | cut -d- -f1). What each row means, and which cannot be shown here, is in
[README.md](README.md).

| row | fault | injected | expected | seen | recovery | |
|---|---|---|---|---|---|---|
TEXT
sort -s -t$'\t' -k1,1V "$@" | awk -F'\t' '
  { for (i = 1; i <= NF; i++) gsub(/\|/, "\\|", $i)
    printf "| %s | %s | %s | %s | %s | %s | %s |\n", $1, $2, $3, $4, $5, $6, $7 }'

# A row of the matrix passes when something proves it and nothing speaks against it.
awk -F'\t' -v reasons="$(grep -cE '^\| [0-9]+ \| not here' "$here/README.md" || true)" '
  { split($1, part, "-"); id = part[1] + 0 }
  id >= 1 && id <= 64 {
    if ($7 == "pass") pass[id] = 1
    if ($7 == "FAIL") fail[id] = 1
    if ($7 == "skip") skip[id] = 1
  }
  END {
    for (i = 1; i <= 64; i++) {
      if (fail[i]) { failed++; failures = failures " " i }
      else if (pass[i]) passed++
      else { open++; missing = missing " " i }
    }
    printf "\nRows of the matrix: %d of 64 pass", passed
    if (failed) printf ", %d fail (%s )", failed, failures
    printf ", %d not shown (%s ).\n", open, missing
  }' "$@"
