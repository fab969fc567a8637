# shellcheck shell=bash
# shellcheck disable=SC2034 # JOB, LISTEN and the like are read by lib.sh
# Coordinators that die, stand still, are asked to stop, or are two.

# port_of JOIN: the port in a join file.
port_of() { grep -ao 'tcp:[^",]*:[0-9]*' "$1" | head -1 | sed 's/.*://'; }

# die_and_resume NAME FAULT: a life that ends by FAULT, then a life that goes on; the workers live
# through both.
die_and_resume() {
  local name=$1 spec=$2 died
  rm -rf "$DIR/state"
  coordinator --state-dir "$DIR/state" --fault "$spec" --fault-log "$DIR/faults.log"
  LISTEN="tcp://127.0.0.1:$(port_of "$DIR/join")"
  paced "$name-a" "$name-b"
  check "$name: the coordinator dies" ends_within 120 "$COORDINATOR"
  died=$(now_ms)
  check "$name: killed, was $STATUS" test "$STATUS" -ge 128
  coordinator --state-dir "$DIR/state" --resume
  await 'joined' 20
  recovery "workers back $(seconds_of $(($(ms_of joined) - died))) after the kill"
  finish 120
  check "$name: not from the start" not step_done 1
  check "$name: replay" "$TESSERA" simulate --replay "$DIR/decisions-$LIFE.log"
  unset LISTEN
  rm -f "$DIR/picture.png"
}

row 29 local "coordinator SIGKILL in stage one, at the relocation, in stage two, in a checkpoint's write, in decoding" "goes on from the last state, at most a step lost; workers come back by themselves; same bytes"
row_29() {
  quiet_picture
  die_and_resume stage-one step:kill@2
  die_and_resume relocation step:kill@6
  die_and_resume stage-two step:kill@9
  die_and_resume checkpoint 'checkpoint:kill@step4..'
  die_and_resume decoding tile:kill@4
  injected 5
}

row 30 local "coordinator SIGSTOP 60 s" "on waking it takes nobody for silent: workers that dialled anew are in again at once; same bytes"
row_30() {
  quiet_picture
  coordinator
  PATIENCE=300
  paced a b
  await '"done":2,"event":"step"' 60
  send STOP "$COORDINATOR"
  sleep 60
  send CONT "$COORDINATOR"
  local woken
  woken=$(now_ms)
  await '"done":4,"event":"step"' 30
  recovery "next step $(seconds_of $(($(ms_after "$woken" '"event":"step"') - woken))) after it woke"
  finish 120
  check "nobody is taken for silent" not event 'silent'
  counted expired -eq 0
}

row 31 quick "coordinator SIGTERM" "a checkpoint, exit 75 within 25 s; goes on with --resume; same bytes"
row_31() {
  quiet_picture
  coordinator --state-dir "$DIR/state"
  LISTEN="tcp://127.0.0.1:$(port_of "$DIR/join")"
  paced a b
  await '"done":3,"event":"step"' 60
  local asked
  asked=$(now_ms)
  send TERM "$COORDINATOR"
  check "it ends" ends_within 25 "$COORDINATOR"
  check "exit code 75, was $STATUS" test "$STATUS" = 75
  recovery "ended after $(seconds_of $(($(now_ms) - asked)))"
  coordinator --state-dir "$DIR/state" --resume
  finish 120
  check "not from the start" not step_done 1
  saw "exit 75"
}

row 33 quick "two coordinators on one state folder" "the second ends with a sentence, exit 65; the first goes on; same bytes"
row_33() {
  quiet_picture
  coordinator --state-dir "$DIR/state"
  local first=$COORDINATOR first_events=$EVENTS
  paced a b
  await '"done":1,"event":"step"' 60
  "$TESSERA" generate "${JOB[@]}" --output "$DIR/second.png" --state-dir "$DIR/state" --resume \
    >"$DIR/second.log" 2>&1 && STATUS=0 || STATUS=$?
  check "exit code 65, was $STATUS" test "$STATUS" = 65
  check "it says why" grep -q "state folder" "$DIR/second.log"
  saw "$(tail -n 1 "$DIR/second.log" | cut -c1-90)"
  COORDINATOR=$first EVENTS=$first_events
  finish 120
}

# idle PID: takes less than a tenth of a processor for two seconds, after one for the task in hand.
idle() {
  sleep 1
  local before after
  before=$(cpu_ticks "$1")
  sleep 2
  after=$(cpu_ticks "$1")
  echo "ticks $before, $after"
  ((after - before < 20))
}
cpu_ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat" 2>/dev/null | grep . || echo 0; }

row 57 local "cancelled by SIGINT while waiting, denoising, decoding" "ends within 2 s or a task's end, exit 130, no file left, workers are idle"
row_57() {
  local moment asked took
  for moment in waiting denoising decoding; do
    case $moment in
      waiting) coordinator ;;
      denoising) coordinator; paced a b; await '"done":2,"event":"step"' 60 ;;
      decoding) coordinator; paced c d; await '"done":2,"event":"tile"' 120 ;;
    esac
    asked=$(now_ms)
    send INT "$COORDINATOR"
    # A shell starts its children deaf to SIGINT; SIGTERM is the same request then.
    sleep 0.2
    alive "$COORDINATOR" && send TERM "$COORDINATOR"
    check "$moment: it ends" ends_within 10 "$COORDINATOR"
    check "$moment: exit code 130, was $STATUS" test "$STATUS" = 130
    took=$(($(now_ms) - asked))
    check_within "$moment: the end" "$took" 4000
    check "$moment: no picture" test ! -e "$DIR/picture.png"
    [ "$moment" = waiting ] || check "$moment: workers are idle or gone" idle "$WORKER"
  done
  injected 3
  saw "exit $STATUS each time"
  recovery "ended after $(seconds_of "$took")"
}

row 60 quick "abort() in the coordinator" "as a kill: goes on from the last state; same bytes"
row_60() {
  quiet_picture
  die_and_resume abort step:abort@5
}

row 62 local "100 jobs of mixed sizes in one life of a coordinator" "no descriptor, thread, process or growing memory is left; the first picture made again is the same"
row_62() {
  "$TESSERA" bench jobs --jobs 100 --workers 2 --json >"$DIR/jobs.json" 2>"$DIR/jobs.log" \
    && STATUS=0 || STATUS=$?
  check "exit code 0, was $STATUS" test "$STATUS" = 0
  check "the same picture" grep -q '"same_picture":true\|"samePicture":true' "$DIR/jobs.json"
  injected 100
  saw "$(grep -o '"[a-z_A-Z]*[mM]illiseconds[a-zA-Z_]*":[0-9.]*' "$DIR/jobs.json" | tr -d '"' | paste -sd' ')"
}
