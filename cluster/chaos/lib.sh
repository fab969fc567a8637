# shellcheck shell=bash
# shellcheck disable=SC2034 # what is set here is read by scenarios
# What scenarios are made of: processes that are started and ended by their ids, events that are
# awaited, and checks that are counted. Sourced by run.sh; a scenario runs in a subshell with DIR,
# an empty folder of its own.

PROMPT="a mountain range at sunset above a lake"

# ---------------------------------------------------------------------------------- time

# Milliseconds of the clock that events carry. run.sh finds the offset between both clocks.
now_ms() {
  local up
  read -r up _ </proc/uptime
  echo $((10#${up/./} * 10 + CLOCK_OFFSET))
}

# What has to be added to /proc/uptime to get the clock of events (the same, unless the machine
# was suspended).
clock_offset() {
  local ms before
  CLOCK_OFFSET=0
  before=$(now_ms)
  ms=$(timeout 1 "$TESSERA" fault-proxy --listen 127.0.0.1:0 --to 127.0.0.1:1 2>/dev/null \
    </dev/null | sed -n 's/.*"ms":\([0-9]*\).*/\1/p' | head -1 || true)
  local skew=$((ms - before))
  # Starting takes some hundredths of a second: anything less than a second is the same clock.
  if ((skew > 1000 || skew < -1000)); then echo "$skew"; else echo 0; fi
}

seconds_of() {
  # Two clocks are read one after the other: a hundredth too early is at once.
  local ms=$(($1 < 0 ? 0 : $1))
  printf '%d.%02d s' $((ms / 1000)) $((ms % 1000 / 10))
}

# ---------------------------------------------------------------------------------- results

# check WORDS COMMAND…: what is expected, and how it is found out. A failure is kept in mind, and
# the scenario goes on.
check() {
  local words=$1
  shift
  if "$@" >>"$DIR/checks.log" 2>&1; then
    echo "ok: $words" >>"$DIR/checks.log"
  else
    echo "NOT: $words ($*)" >>"$DIR/checks.log"
    echo "$words" >>"$DIR/failed"
  fi
}

# check_within WORDS MS LIMIT: a measured time.
check_within() {
  echo "measured: $1: $2 ms, limit $3 ms" >>"$DIR/checks.log"
  check "$1 within $3 ms, took $2" test "$2" -ge 0 -a "$2" -le "$3"
}

saw() { echo "$*" >>"$DIR/seen"; }
injected() { echo "$*" >"$DIR/injected"; }
recovery() { echo "$*" >"$DIR/recovery"; }

# skip REASON: this machine cannot show it.
skip() {
  echo "$*" >"$DIR/skipped"
  exit 0
}

need_root() { [ "$(id -u)" = 0 ] || skip "needs root"; }
need_tool() { command -v "$1" >/dev/null || skip "needs $1"; }

# ---------------------------------------------------------------------------------- processes

# Numbers of processes are used again, within minutes on a busy machine: a signal goes only to
# children of this scenario, whose id is SCENARIO.
PIDS=()
SCENARIO=$BASHPID

# ours PID: whether it is a child of this scenario; sets STATE.
ours() {
  local stat parent
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  read -r STATE parent _ <<<"${stat##*) }"
  [ "$parent" = "$SCENARIO" ]
}
alive() { ours "$1" && [ "$STATE" != Z ]; }
not() { ! "$@"; }

# send SIGNAL PID…
send() {
  local signal=$1 pid
  shift
  for pid in "$@"; do
    if ours "$pid"; then
      kill "-$signal" "$pid" 2>/dev/null || true
      echo "SIG$signal to $pid at $(now_ms)" >>"$DIR/checks.log"
    fi
  done
}

# Everything a scenario started ends with it.
end_processes() {
  touch "$DIR/stop"
  send CONT "${PIDS[@]}"
  # What has children of its own ends them first.
  [ -z "${NEMESIS:-}" ] || { send TERM "$NEMESIS"; until_true 5 not alive "$NEMESIS" || true; }
  send KILL "${PIDS[@]}"
  local pid
  for pid in "${PIDS[@]}"; do
    if ours "$pid"; then wait "$pid" 2>/dev/null || true; fi
  done
}

# until_true SECONDS COMMAND…: false when it does not come true in time.
until_true() {
  local end=$(($(now_ms) + $1 * 1000))
  shift
  until "$@" 2>/dev/null; do
    [ "$(now_ms)" -lt "$end" ] || return 1
    sleep 0.05
  done
}

# ends_within SECONDS PID: waits, then sets STATUS to its exit status.
ends_within() {
  local end=$(($(now_ms) + $1 * 1000))
  while alive "$2"; do
    if [ "$(now_ms)" -ge "$end" ]; then
      STATUS=none
      return 1
    fi
    sleep 0.05
  done
  STATUS=0
  wait "$2" 2>/dev/null || STATUS=$?
}

# ---------------------------------------------------------------------------------- one job

# Pictures of scenarios: enough steps and tasks for something to happen in between.
JOB=(--prompt "$PROMPT" --method cutdiffusion --seed 4 --size 512x512 --steps 12)
# A job that lasts whatever it is paced to.
PACE=compute:delay=150ms

# quiet_picture: the same job's picture without any fault, made once per run.
quiet_picture() {
  local key
  key=$(printf '%s ' "${JOB[@]}" "$@" | cksum | cut -d' ' -f1)
  QUIET="$OUT/quiet-$key.png"
  [ -f "$QUIET" ] && return
  "$TESSERA" generate "${JOB[@]}" "$@" --output "$QUIET.part" >"$OUT/quiet-$key.log" 2>&1
  mv "$QUIET.part" "$QUIET"
}

# coordinator [ARGUMENTS…]: begins the job, waiting for workers; sets COORDINATOR, EVENTS.
LIFE=0
coordinator() {
  LIFE=$((LIFE + 1))
  EVENTS="$DIR/events-$LIFE.json"
  ERRORS="$DIR/errors-$LIFE.log"
  rm -f "$DIR/join"
  "${COORDINATOR_PREFIX[@]}" "$TESSERA" generate "${JOB[@]}" --output "$DIR/picture.png" \
    --listen "${LISTEN:-tcp://127.0.0.1:*}" --join "$DIR/join" --json "${INSECURE[@]}" \
    --event-log "$DIR/decisions-$LIFE.log" "$@" \
    >"$EVENTS" 2>"$ERRORS" &
  COORDINATOR=$!
  PIDS+=("$COORDINATOR")
  until_true 30 test -s "$DIR/join" || {
    cat "$ERRORS" >>"$DIR/checks.log"
    return 1
  }
}
COORDINATOR_PREFIX=()
INSECURE=()

# worker NAME [ARGUMENTS…]: starts one; sets WORKER. Its log is DIR/NAME.log.
worker() {
  local name=$1
  shift
  "${WORKER_PREFIX[@]}" "$TESSERA" worker --join "${JOIN:-$DIR/join}" --threads 1 --name "$name" \
    --coordinator-timeout "${PATIENCE:-60}" "$@" >>"$DIR/$name.log" 2>&1 &
  WORKER=$!
  PIDS+=("$WORKER")
}
WORKER_PREFIX=()

# faulty_worker NAME SPEC [ARGUMENTS…]: the same with faults, logged in DIR/faults.log.
faulty_worker() {
  local name=$1 spec=$2
  shift 2
  worker "$name" --fault "$spec" --fault-log "$DIR/faults.log" "$@"
}

# paced NAME…: workers that take their time.
paced() {
  local name
  for name in "$@"; do faulty_worker "$name" "$PACE"; done
}

# finish SECONDS: the job ends well, its picture is the quiet one, and what the coordinator decided
# breaks no invariant when it is lived again.
finish() {
  check "the job ends" ends_within "$1" "$COORDINATOR"
  if [ -f "$DIR/decisions-$LIFE.log" ]; then
    check "every invariant held" "$TESSERA" simulate --replay "$DIR/decisions-$LIFE.log"
  fi
  check "exit code 0, was $STATUS" test "$STATUS" = 0
  check "same bytes as the quiet run" cmp "$QUIET" "$DIR/picture.png"
  [ "$STATUS" = 0 ] && cmp -s "$QUIET" "$DIR/picture.png" && saw "same bytes"
  return 0
}

# ---------------------------------------------------------------------------------- events

event() { grep -qs -- "$1" "${2:-$EVENTS}"; }
await() { check "event $1" until_true "$2" event "$1"; }
# ms_of PATTERN [NUMBER]: when the n-th such event was, or -1.
ms_of() {
  local line
  line=$(grep -- "$1" "$EVENTS" | sed -n "${2:-1}p")
  [ -n "$line" ] || { echo -1; return; }
  sed -n 's/.*"ms":\([0-9]*\).*/\1/p' <<<"$line"
}
# The first such event after a moment.
ms_after() {
  local ms
  grep -- "$2" "$EVENTS" | sed -n 's/.*"ms":\([0-9]*\).*/\1/p' | while read -r ms; do
    if [ "$ms" -ge "$1" ]; then
      echo "$ms"
      break
    fi
  done | grep . || echo -1
}
events() { grep -c -- "$1" "$EVENTS" || true; }
# counter NAME: of the cluster, when the job is over.
counter() { sed -n "s/.*\"event\":\"cluster\".*/&/p" "$EVENTS" | sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p"; }
counted() { check "$1 $2 $3, was $(counter "$1")" test "$(counter "$1")" "$2" "$3"; }
# faults ACTION: how many were done, from the logs of all processes.
faults() { grep -c "\"fault\":\"$1" "$DIR/faults.log" 2>/dev/null || true; }
# done_in_steps N: that many steps are over.
step_done() { event "\"done\":$1,\"event\":\"step\""; }
descriptors() { find "/proc/$1/fd" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l; }
