# shellcheck shell=bash
# shellcheck disable=SC2034 # JOB, LISTEN and the like are read by lib.sh
# Everything at once; and what one slow worker costs.

# phases: dies once in each phase and goes on, with a new life each.
BIG_FAULTS='result:drop@0.05;result:dup@0.02'

# nemesis: until it is stopped, kills a random one of the workers every 2 s and starts it anew.
nemesis() {
  local number
  PIDS=() SCENARIO=$BASHPID
  unset NEMESIS
  trap 'end_processes; exit 0' TERM
  declare -A pid
  for number in 1 2 3 4; do
    big_worker "$number"
    pid[$number]=$WORKER
  done
  while [ ! -e "$DIR/stop" ]; do
    sleep 2
    number=$((RANDOM % 4 + 1))
    send KILL "${pid[$number]}"
    wait "${pid[$number]}" 2>/dev/null || true
    echo "$number" >>"$DIR/kills"
    big_worker "$number"
    pid[$number]=$WORKER
  done
  end_processes
}

# big_worker NUMBER: in its namespace; the fourth is ten times slower.
big_worker() {
  local spec=$BIG_FAULTS
  [ "$1" != 4 ] || spec="$spec;compute:slow=10x"
  WORKER_PREFIX=(ip netns exec "$NET-$1")
  faulty_worker "w$1" "$spec" --fault-seed $((RANDOM + 1))
  WORKER_PREFIX=()
}

row all-at-once root "default model, 4 times its native side, 4 workers in namespaces: SIGKILL of a random worker every 2 s, 5 % of answers dropped, 2 % doubled, a one-way cut of 10 s, one worker 10 times slower, and a coordinator kill in stage one, stage two, a checkpoint's write and decoding" "same bytes as the quiet run"
row_all_at_once() {
  JOB=(--prompt "$PROMPT" --method cutdiffusion --seed 4 --size 4x)
  quiet_picture
  namespaces 4
  RANDOM=7
  PATIENCE=600
  # The first life writes the join file that every worker reads, whenever it is started.
  local lives=(step:kill@5 checkpoint:kill@step9.. step:kill@16 tile:kill@10 none) spec more number=0
  for spec in "${lives[@]}"; do
    more=(--state-dir "$DIR/state" --resume)
    [ "$spec" = none ] || more+=(--fault "$spec" --fault-log "$DIR/faults.log")
    coordinator "${more[@]}"
    if [ $number = 0 ]; then
      nemesis &
      NEMESIS=$!
      PIDS+=("$NEMESIS")
      (
        sleep 6
        ip netns exec "$NET-2" iptables -A OUTPUT -j DROP
        sleep 10
        ip netns exec "$NET-2" iptables -D OUTPUT -j DROP
      ) &
      PIDS+=("$!")
    fi
    number=$((number + 1))
    [ "$spec" = none ] && break
    check "life $number ends as it shall ($spec)" ends_within 300 "$COORDINATOR"
    check "life $number was killed, was $STATUS" test "$STATUS" -ge 128
  done
  finish 300
  touch "$DIR/stop"
  injected "$(wc -l <"$DIR/kills") kills, $(faults result:drop) drops, $(faults result:dup) doubles, 1 cut, $(faults compute:slow) slow computations, 4 coordinator kills"
  saw "$number lives"
  sleep 3
}

# timed_run SPEC: seconds, in milliseconds, of the big picture with three sound workers and a
# fourth with SPEC.
timed_run() {
  local number
  coordinator
  for number in 1 2 3; do worker "w$number"; done
  if [ -n "$1" ]; then faulty_worker w4 "$1"; else worker w4; fi
  await ', 4 at work' 60
  local begun
  begun=$(ms_of ', 4 at work')
  check "a timed run ends" ends_within 400 "$COORDINATOR"
  check "same bytes" cmp "$QUIET" "$DIR/picture.png"
  TOOK=$(($(ms_of '"event":"done"') - begun))
  rm -f "$DIR/picture.png"
  for number in 1 2 3 4; do ends_within 20 "${PIDS[-$number]}" || true; done
}

row 24 local "one of four workers 10 times slower" "wall time < 1.25 of the run in which it is not (medians of 3, taken in turns); same bytes"
row_24() {
  JOB=(--prompt "$PROMPT" --method cutdiffusion --seed 4 --size 4x)
  quiet_picture
  local fair=() slow=() turn
  for turn in 1 2 3; do
    timed_run ""
    fair+=("$TOOK")
    timed_run compute:slow=10x
    slow+=("$TOOK")
    echo "turn $turn: sound ${fair[-1]} ms, slow ${slow[-1]} ms" >>"$DIR/checks.log"
  done
  injected "$(faults compute:slow) computations"
  local a b
  a=$(printf '%s\n' "${fair[@]}" | sort -n | sed -n 2p)
  b=$(printf '%s\n' "${slow[@]}" | sort -n | sed -n 2p)
  saw "$(seconds_of "$a") and $(seconds_of "$b"): ratio $((b * 100 / a)) %"
  check "ratio $((b * 100 / a)) % below 125 %" test $((b * 100)) -lt $((a * 125))
}
