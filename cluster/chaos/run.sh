#!/usr/bin/env bash
# Runs the fault matrix against real processes and writes a table. See README.md.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

usage() {
  cat <<'TEXT'
usage: cluster/chaos/run.sh [--list] [--only ROW…] [--quick] [--local] [--no-tests] [--out DIR]
  --list       say what there is, run nothing
  --only ROW…  these rows (numbers, or names such as slow-worker)
  --quick      a short selection that needs no root and no test build
  --local      leave out what needs root and network namespaces
  --no-tests   leave out rows that are proven by Swift tests
  --out DIR    logs and table (a new folder in $TMPDIR if left out)
The program is $TESSERA, or .build/release/tessera.
TEXT
}

list=false quick=false local_only=false tests=true
only=() OUT=""
while [ $# -gt 0 ]; do
  case $1 in
    --list) list=true ;;
    --quick) quick=true local_only=true tests=false ;;
    --local) local_only=true ;;
    --no-tests) tests=false ;;
    --out) OUT=${2:?--out needs a folder}; shift ;;
    --only)
      while [ $# -gt 1 ] && [[ $2 != --* ]]; do only+=("$2"); shift; done ;;
    --help | -h) usage; exit 0 ;;
    *) usage >&2; exit 64 ;;
  esac
  shift
done

# Rows are declared by the files of rows/: row ID KIND FAULT EXPECTED, then a function row_ID.
# KIND is local, root (needs privileges), or quick (local, and short).
ids=()
declare -A kind fault expected
row() {
  ids+=("$1")
  kind[$1]=$2 fault[$1]=$3 expected[$1]=$4
}
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$here/lib.sh"
for file in "$here"/rows/*.sh; do
  # shellcheck disable=SC1090
  source "$file"
done

wanted() {
  local id
  if [ ${#only[@]} -gt 0 ]; then
    for id in "${only[@]}"; do [ "$id" = "$1" ] && return; done
    return 1
  fi
  ! $quick || [ "${kind[$1]}" = quick ]
}

if $list; then
  for id in "${ids[@]}"; do
    if wanted "$id"; then printf '%-12s %-6s %s\n' "$id" "${kind[$id]}" "${fault[$id]}"; fi
  done
  sed '/^#/d' "$here/tests.tsv" | awk -F'\t' '{printf "%-12s test   %s\n", $1, $4}'
  exit 0
fi

TESSERA=${TESSERA:-$root/.build/release/tessera}
[ -x "$TESSERA" ] || {
  echo "run.sh: $TESSERA is not there; run make build, or set TESSERA" >&2
  exit 69
}
OUT=${OUT:-$(mktemp -d)}
mkdir -p "$OUT"
OUT=$(cd "$OUT" && pwd)
# Join files hold keys: others must not read them.
umask 077
CHAOS=$here
export OUT TESSERA CHAOS
results="$OUT/results.tsv"
: >"$results"
CLOCK_OFFSET=$(clock_offset)
export CLOCK_OFFSET

# result ID FAULT INJECTED EXPECTED SEEN RECOVERY VERDICT
result() {
  local IFS=$'\t'
  echo "$*" >>"$results"
  printf '%-12s %-5s %s\n' "$1" "$7" "$5${6:+ ($6)}"
}

# Lines on one line, without the folders of this machine.
joined() { paste -sd';' "$1" 2>/dev/null | sed "s/; */; /g; s#$DIR/##g; s#$DIR#its folder#g" || true; }

run_row() {
  local id=$1
  DIR="$OUT/row-$id"
  rm -rf "$DIR"
  mkdir -p "$DIR"
  set +e
  (
    set -e
    SCENARIO=$BASHPID
    trap end_processes EXIT
    cd "$DIR"
    "row_${id//-/_}"
  ) >"$DIR/output.log" 2>&1
  local status=$?
  set -e
  if [ -f "$DIR/skipped" ]; then
    result "$id" "${fault[$id]}" "-" "${expected[$id]}" "skipped: $(cat "$DIR/skipped")" "" skip
    return
  fi
  # A scenario whose fault never happened has shown nothing.
  case $(cat "$DIR/injected" 2>/dev/null) in
    0 | "0 "*) echo "the fault was never injected" >>"$DIR/failed" ;;
  esac
  [ $status = 0 ] || echo "the scenario itself ended with $status" >>"$DIR/failed"
  local verdict=pass seen
  seen=$(joined "$DIR/seen")
  if [ -f "$DIR/failed" ]; then
    verdict=FAIL
    seen="not: $(joined "$DIR/failed")${seen:+; $seen}"
  fi
  result "$id" "${fault[$id]}" "$(cat "$DIR/injected" 2>/dev/null || echo 1)" "${expected[$id]}" \
    "${seen:--}" "$(cat "$DIR/recovery" 2>/dev/null)" "$verdict"
}

# Tests prove rows by their very titles: one that is not in the log as passed proves nothing.
run_tests() {
  local filter log="$OUT/swift-test.log" id suite title words
  filter=$(sed '/^#/d' "$here/tests.tsv" | cut -f1,2 | while IFS=$'\t' read -r id suite; do
    if wanted_test "$id"; then tr '|' '\n' <<<"$suite"; fi
  done | sort -u | paste -sd'|')
  [ -n "$filter" ] || return 0
  local swift=()
  read -ra swift <<<"${SWIFT_TEST:-swift test}"
  echo "running the tests that prove rows"
  (cd "$root" && "${swift[@]}" --filter "$filter") >"$log" 2>&1 || true
  while IFS=$'\t' read -r id suite title words; do
    [[ $id == \#* || -z $id ]] && continue
    wanted_test "$id" || continue
    if grep -qF "Test \"$title\"" "$log" \
      && grep -F "Test \"$title\"" "$log" | grep -q ' passed after ' \
      && ! grep -F "Test \"$title\"" "$log" | grep -q ' failed after '; then
      result "$id" "$words" "-" "-" "test \"$title\"" "" pass
    else
      result "$id" "$words" "-" "-" "test \"$title\" ($suite) did not pass or is not there" "" FAIL
    fi
  done <"$here/tests.tsv"
}
wanted_test() {
  local id
  [ ${#only[@]} -gt 0 ] || return 0
  for id in "${only[@]}"; do [ "$id" = "$1" ] && return; done
  return 1
}

for id in "${ids[@]}"; do
  wanted "$id" || continue
  if $local_only && [ "${kind[$id]}" = root ]; then
    result "$id" "${fault[$id]}" - "${expected[$id]}" "skipped: --local" "" skip
    continue
  fi
  run_row "$id"
done
if $tests; then run_tests; fi

"$here/table.sh" "$results" >"$OUT/RESULTS.md"
tail -n 12 "$OUT/RESULTS.md" | sed -n '/^Rows/,$p'
echo "table: $OUT/RESULTS.md"
! grep -q $'\tFAIL$' "$results"
