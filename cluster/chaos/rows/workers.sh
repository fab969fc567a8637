# shellcheck shell=bash
# shellcheck disable=SC2034 # JOB, LISTEN and the like are read by lib.sh
# Workers that die, stand still, hang, are slow, fail, or are not what they should be.

# leased_again NAME: milliseconds from the loss of a worker to the next lease of one of its tasks,
# as the coordinator's log of decisions has it; -1 when it had none.
leased_again() {
  "$TESSERA" simulate --replay "$DIR/decisions-$LIFE.log" --trace | awk -v name="$1" '
    index($0, " " name " is lost") && $2 == "s" { lost = $1; seen = 1; next }
    seen && $2 == "s" && /, attempt [0-9]+ → / {
      printf "%d\n", ($1 - lost) * 1000; found = 1; exit }
    END { if (!found) print -1 }'
}

row 1 quick "worker SIGKILL in a task, five times" "lost at once, its task leased again in < 1 s; same bytes"
row_1() {
  JOB=(--prompt "$PROMPT" --method cutdiffusion --seed 4 --size 512x512 --steps 24)
  quiet_picture
  coordinator
  # More credit than a step has tasks: whether one is leased again waits for no other task's end.
  paced a c d
  local number killed lost losses=() most=0 again
  for number in 1 2 3 4 5; do
    paced "b$number"
    await "b$number joined" 20
    check "it computes" until_true 10 grep -q "\"who\":\"b$number\"" "$DIR/faults.log"
    sleep 0.2
    killed=$(now_ms)
    send KILL "$WORKER"
    await "b$number is lost" 5
    lost=$(ms_of "b$number is lost")
    losses+=("$((lost - killed))")
  done
  finish 120
  for number in 1 2 3 4 5; do
    again=$(leased_again "b$number")
    check "b$number's task is leased again" test "$again" -ge 0
    check_within "kill to new lease" $((losses[number - 1] + again)) 1000
    ((losses[number - 1] + again <= most)) || most=$((losses[number - 1] + again))
  done
  recovery "leased again after $most ms at most"
  counted lost -eq 5
  injected 5
}

row 2 local "worker SIGKILL while idle" "removed from the pool in < 1 s, no task touched; same bytes"
row_2() {
  # One task per step in stage one: all but one worker are idle.
  JOB=(--prompt "$PROMPT" --method cutdiffusion --seed 4 --size 256x256 --steps 24 --structure-steps 20)
  quiet_picture
  coordinator
  declare -A pid
  local name busy idle killed lost
  for name in a b c d; do
    faulty_worker "$name" compute:delay=300ms
    pid[$name]=$WORKER
  done
  await ', 4 at work' 30
  await '"done":4,"event":"step"' 60
  busy=$(tail -n 3 "$DIR/faults.log" | sed 's/.*"who":"\(.\)".*/\1/')
  for name in a b c d; do [[ $busy == *"$name"* ]] || idle=$name; done
  killed=$(now_ms)
  send KILL "${pid[$idle]}"
  await "$idle is lost" 5
  lost=$(ms_after "$killed" "$idle is lost")
  check_within "removal" $((lost - killed)) 1000
  recovery "$(seconds_of $((lost - killed)))"
  finish 120
  counted failed -eq 0
  counted resent -eq 0
  counted expired -eq 0
}

row 3 local "all workers killed, one returns" "the job waits and goes on alone; same bytes; or ends with 69 after --worker-timeout"
row_3() {
  quiet_picture
  coordinator
  local victims=() returned
  paced a; victims+=("$WORKER")
  paced b; victims+=("$WORKER")
  await '"done":2,"event":"step"' 60
  send KILL "${victims[@]}"
  await '0 at work' 5
  sleep 2
  check "the coordinator waits" alive "$COORDINATOR"
  returned=$(now_ms)
  paced c
  await 'c joined' 20
  recovery "$(seconds_of $(($(ms_of 'c joined') - returned)))"
  finish 120
  # The same, and nobody comes.
  coordinator --worker-timeout 2
  paced d
  await '"done":1,"event":"step"' 60
  send KILL "$WORKER"
  check "it gives up" ends_within 15 "$COORDINATOR"
  check "exit code 69, was $STATUS" test "$STATUS" = 69
  check "it says why" grep -q "no worker" "$ERRORS"
  saw "waited, went on; without anybody exit $STATUS"
  injected 3
}

row 4 local "worker SIGSTOP 5 s" "suspect at 3 s, its task copied, late answer dropped; same bytes"
row_4() {
  JOB=(--prompt "$PROMPT" --method cutdiffusion --seed 4 --size 512x512 --steps 24)
  quiet_picture
  coordinator
  paced a b
  local victim=$WORKER stopped
  await '"done":2,"event":"step"' 60
  stopped=$(now_ms)
  send STOP "$victim"
  await 'b is silent' 6
  check_within "suspicion" $(($(ms_of 'b is silent') - stopped)) 4500
  recovery "suspect after $(seconds_of $(($(ms_of 'b is silent') - stopped)))"
  sleep 2
  send CONT "$victim"
  await 'b is back' 10
  finish 120
  counted lost -eq 0
}

row 5 local "worker SIGSTOP for ever" "suspect at 3 s, lost at 10 s, its tasks go on; same bytes"
row_5() {
  quiet_picture
  coordinator
  paced a b
  local victim=$WORKER stopped lost
  await '"done":2,"event":"step"' 60
  stopped=$(now_ms)
  send STOP "$victim"
  await 'b is silent' 6
  # The copy is made long before the loss: the job may be over by then.
  until_true 15 event 'b is lost\|"event":"done"' || true
  lost=$(ms_of 'b is lost')
  finish 120
  if [ "$lost" -ge 0 ]; then
    check_within "loss" $((lost - stopped)) 11500
    recovery "suspect after $(seconds_of $(($(ms_of 'b is silent') - stopped))), lost after $(seconds_of $((lost - stopped)))"
  else
    recovery "copied after $(seconds_of $(($(ms_of 'b is silent') - stopped))), done before the loss"
  fi
}

row 6 local "compute thread hangs, network thread lives" "no progress: copied elsewhere after 30 s, the worker ends itself after 60 s and is started again; same bytes"
row_6() {
  JOB=(--prompt "$PROMPT" --method cutdiffusion --seed 4 --size 512x512 --steps 40)
  quiet_picture
  EVENTS="$DIR/events.json" ERRORS="$DIR/errors.log"
  "$TESSERA" generate "${JOB[@]}" --output "$DIR/picture.png" --workers 2 --threads 1 --json \
    --worker-fault 0:compute:hang@12 --worker-fault '*:compute:delay=500ms' \
    --fault-log "$DIR/faults.log" >"$EVENTS" 2>"$ERRORS" &
  COORDINATOR=$!
  PIDS+=("$COORDINATOR")
  check "the hang" until_true 60 grep -q '"fault":"compute:hang' "$DIR/faults.log"
  local hung
  hung=$(sed -n 's/.*"fault":"compute:hang.*"ms":\([0-9]*\).*/\1/p' "$DIR/faults.log" | head -1)
  await 'worker 0 exited' 90
  local ended
  ended=$(ms_of 'worker 0 exited')
  check_within "its own end" $((ended - hung)) 75000
  recovery "ended itself after $(seconds_of $((ended - hung)))"
  finish 240
  check "it came again" test "$(events 'worker 0 joined')" -ge 2
  injected "$(faults compute:hang)"
}

row 25 local "worker speed flips between fast and 10 times slower" "no starvation, no loss; same bytes"
row_25() {
  quiet_picture
  coordinator
  faulty_worker a compute:slow=10x@10/20
  faulty_worker b compute:delay=20ms
  finish 120
  counted lost -eq 0
  counted failed -eq 0
  injected "$(faults compute:slow)"
}

row 26 root "worker out of memory (a memory cgroup's kill)" "as a SIGKILL: lost at once, not held against the task; same bytes"
row_26() {
  need_root
  quiet_picture
  local group=/sys/fs/cgroup/memory/tsr-chaos-$$ limit=memory.limit_in_bytes
  if [ ! -d /sys/fs/cgroup/memory ]; then
    group=/sys/fs/cgroup/tsr-chaos-$$ limit=memory.max
  fi
  mkdir "$group" 2>/dev/null || skip "no memory cgroup can be made here"
  [ -f "$group/$limit" ] || { rmdir "$group"; skip "there is no memory controller here"; }
  coordinator
  paced a
  await 'a joined' 20
  echo 24M >"$group/$limit"
  # shellcheck disable=SC2016
  WORKER_PREFIX=(bash -c 'echo $$ >"$0/cgroup.procs"; exec "$@"' "$group")
  worker b
  WORKER_PREFIX=()
  check "the kernel ends it" ends_within 60 "$WORKER"
  check "by SIGKILL, was $STATUS" test "$STATUS" = 137
  finish 120
  counted failed -eq 0
  rmdir "$group" || true
}

row 27 quick "worker with a device error at each third task; one with an error at every task" "tried elsewhere; the one that always fails is left alone; same bytes"
row_27() {
  quiet_picture
  coordinator
  paced c
  faulty_worker b 'compute:fail@1/3;compute:delay=50ms'
  await ', 2 at work' 30
  # The first two computations are the known questions of the trial.
  faulty_worker a 'compute:fail@3..;compute:delay=50ms'
  finish 120
  injected "$(faults compute:fail)"
  check "failures are counted" test "$(counter failed)" -ge 1
  check "somebody is left alone" event 'a is left alone'
  saw "$(counter failed) failed, $(counter quarantined) quarantined"
}

row 28 quick "poison task: kills every worker" "fails with the evidence after 4 attempts on 2 workers or more; the pool survives"
row_28() {
  EVENTS="$DIR/events.json" ERRORS="$DIR/errors.log"
  # From the second step on every computation kills its process, whoever it is.
  "$TESSERA" generate "${JOB[@]}" --output "$DIR/picture.png" --workers 3 --threads 1 --json \
    --worker-fault '*:compute:kill@step1..' --fault-log "$DIR/faults.log" >"$EVENTS" 2>"$ERRORS" &
  COORDINATOR=$!
  PIDS+=("$COORDINATOR")
  check "the job ends" ends_within 60 "$COORDINATOR"
  injected "$(faults compute:kill)"
  check "with a typed reason, was $STATUS" test "$STATUS" = 65 -o "$STATUS" = 69
  check "no picture" test ! -e "$DIR/picture.png"
  check "at least 4 attempts" test "$(faults compute:kill)" -ge 4
  check "the reason names the task" grep -q "task .* of step 1 failed 4 times\|denoise task" "$ERRORS"
  saw "exit $STATUS: $(tail -n 1 "$ERRORS" | cut -c1-110)"
}

row 32 quick "worker SIGTERM" "finishes the task in hand, hands back the next, exit 0; no strike; same bytes"
row_32() {
  quiet_picture
  coordinator
  paced a b
  local victim=$WORKER asked
  await '"done":2,"event":"step"' 60
  asked=$(now_ms)
  send TERM "$victim"
  check "it ends" ends_within 25 "$victim"
  check "exit code 0, was $STATUS" test "$STATUS" = 0
  recovery "gone after $(seconds_of $(($(now_ms) - asked)))"
  finish 120
  counted failed -eq 0
  counted lost -eq 0
  check "it said so" event 'b is leaving'
}

row 47 local "rolling restart of all workers in a job" "the job goes on; same bytes"
row_47() {
  JOB=(--prompt "$PROMPT" --method cutdiffusion --seed 4 --size 512x512 --steps 20)
  quiet_picture
  coordinator
  local old=() name
  for name in a b c; do paced "$name"; old+=("$WORKER"); done
  await '"done":1,"event":"step"' 60
  for name in 0 1 2; do
    send TERM "${old[$name]}"
    check "one leaves" ends_within 25 "${old[$name]}"
    paced "new-$name"
    await "new-$name joined" 20
  done
  finish 180
  counted failed -eq 0
  injected 3
}

row 48 quick "worker with another model" "turned away with the reason, exit 65; the job goes on; same bytes"
row_48() {
  quiet_picture
  "$TESSERA" synthesize tiny --output "$DIR/other"
  coordinator
  worker stranger --model "$DIR/other"
  check "it ends" ends_within 30 "$WORKER"
  check "exit code 65, was $STATUS" test "$STATUS" = 65
  check "it says why" grep -qi "weights" "$DIR/stranger.log"
  paced a
  finish 120
  counted rejected -eq 1
  saw "$(tail -n 1 "$DIR/stranger.log" | cut -c1-100)"
}

row 49 quick "model missing on a worker" "that worker ends with a sentence, exit 65; the job goes on; same bytes"
row_49() {
  quiet_picture
  coordinator
  worker poor --model "$DIR/nothing"
  check "it ends" ends_within 30 "$WORKER"
  check "exit code 65, was $STATUS" test "$STATUS" = 65
  check "it says what is missing" grep -q "$DIR/nothing" "$DIR/poor.log"
  paced a
  finish 120
  saw "exit 65"
}

row 51 local "wall clock jumps by a day, back and forth, on both sides" "no effect; same bytes"
row_51() {
  need_tool cc
  quiet_picture
  cc -shared -fPIC -O1 -o "$DIR/wall_clock.so" "$CHAOS/wall_clock.c" -ldl 2>"$DIR/cc.log" \
    || skip "the clock's shim does not compile"
  COORDINATOR_PREFIX=(env "LD_PRELOAD=$DIR/wall_clock.so")
  WORKER_PREFIX=("${COORDINATOR_PREFIX[@]}")
  check "the shim works" bash -c \
    "[ \$(LD_PRELOAD=$DIR/wall_clock.so date +%Y%m%d) != \$(date +%Y%m%d) ]"
  coordinator
  paced a b
  finish 120
  counted lost -eq 0
  counted expired -eq 0
  injected "each second"
}

row 52 quick "two workers of one name" "both work; same bytes"
row_52() {
  quiet_picture
  coordinator
  paced twin
  paced twin
  await ', 2 at work' 30
  finish 120
  counted joined -eq 2
  counted lost -eq 0
}

row 54 local "48 workers dial at once, and again after a coordinator's restart" "all are in within 10 s; same bytes"
row_54() {
  local count=48 number started
  quiet_picture
  coordinator --state-dir "$DIR/state"
  LISTEN="tcp://127.0.0.1:$(port_of "$DIR/join")"
  started=$(now_ms)
  for number in $(seq "$count"); do faulty_worker "w$number" compute:delay=2s; done
  await ", $count at work" 60
  saw "$count in after $(seconds_of $(($(ms_of ", $count at work") - started))), starting them included"
  send KILL "$COORDINATOR"
  wait "$COORDINATOR" 2>/dev/null || true
  started=$(now_ms)
  coordinator --state-dir "$DIR/state" --resume
  await ", $count at work" 30
  check_within "all are in again" $(($(ms_of ", $count at work") - started)) 10000
  recovery "all back after $(seconds_of $(($(ms_of ", $count at work") - started)))"
  finish 180
  injected $((2 * count))
}

# came N: flappy has been taken in, or left alone, N times.
came() { [ "$(events 'flappy joined\|flappy is left alone')" -ge "$1" ]; }

row 55 local "worker flaps: killed as soon as it has joined, 14 times" "left alone after 10 fruitless sessions; same bytes"
row_55() {
  JOB=(--prompt "$PROMPT" --method cutdiffusion --seed 4 --size 512x512 --steps 24)
  quiet_picture
  coordinator
  paced a
  local number flaps=0
  for number in $(seq 14); do
    worker flappy
    until_true 10 came "$number" || break
    send KILL "$WORKER"
    flaps=$number
    event 'flappy is left alone' && break
  done
  injected "$flaps"
  check "it is left alone" event 'flappy is left alone'
  finish 180
  saw "left alone after $flaps"
}
