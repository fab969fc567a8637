# shellcheck shell=bash
# shellcheck disable=SC2034 # JOB, LISTEN and the like are read by lib.sh
# Messages that get lost, doubled, late, damaged or are lies.

# messages SPEC: the quiet picture's job with one such worker and a sound one.
messages() {
  quiet_picture
  coordinator
  faulty_worker a "$1;$PACE"
  paced b
}

row 15 quick "answer doubled (2 %, and every third)" "the second is counted as stale; same bytes"
row_15() {
  messages 'result:dup@0.02;result:dup@1/3'
  finish 120
  injected "$(faults result:dup)"
  counted stale -ge 1
  saw "$(counter stale) stale"
}

row 16 local "answer late by 4 s, after the question was asked again" "the late one is stale and not applied; same bytes"
row_16() {
  messages 'result:delay=4s@1/15'
  finish 180
  injected "$(faults result:delay)"
  counted stale -ge 1
  saw "$(counter stale) stale, $(counter resent) resent"
}

# longest_pause: between two steps, in milliseconds.
longest_pause() {
  grep '"event":"step"' "$EVENTS" | sed -n 's/.*"ms":\([0-9]*\).*/\1/p' \
    | awk 'NR > 1 && $1 - last > most { most = $1 - last } { last = $1 } END { print most + 0 }'
}

row 17 quick "question lost (every 8th to one worker)" "asked again after 2 s; same bytes"
row_17() {
  messages 'task:drop@1/8'
  finish 120
  injected "$(faults task:drop)"
  counted resent -ge 1
  saw "$(counter resent) resent"
  check_within "the longest step" "$(longest_pause)" 5000
  recovery "longest step $(seconds_of "$(longest_pause)")"
}

row 18 quick "answer lost (5 %)" "asked for again, given from the worker's memory; same bytes"
row_18() {
  messages 'result:drop@0.05;result:drop@5'
  finish 120
  injected "$(faults result:drop)"
  counted resent -ge 1
  saw "$(counter resent) resent"
  recovery "longest step $(seconds_of "$(longest_pause)")"
}

row 19 local "answer of another task under this task's name (one of three workers)" "refused by its question's digest and asked again; same bytes"
row_19() {
  quiet_picture
  coordinator
  faulty_worker swapping "result:swap@1/9;$PACE"
  paced b c
  finish 240
  injected "$(faults result:swap)"
  counted unsound -ge 1
  saw "$(counter unsound) unsound"
}

row 20 quick "bit flipped in an answer" "noticed by its checksum, asked again, never applied; same bytes"
row_20() {
  messages 'result:corrupt@1/20'
  finish 120
  injected "$(faults result:corrupt)"
  counted malformed -eq "$(faults result:corrupt)"
  saw "$(counter malformed) malformed, $(counter resent) resent"
}

row 21 local "wrong values with a valid checksum (1 in 100; and always, from the start)" "outvoted where answers are confirmed, or the run ends typed; a worker that always lies never computes; same bytes"
row_21() {
  quiet_picture
  coordinator --confirm 100
  faulty_worker liar "result:lie@1/9;$PACE"
  paced b c
  finish 240
  injected "$(faults result:lie)"
  counted outvoted -ge 1
  saw "$(counter outvoted) outvoted"
  # Wrong from the first answer on: the known questions show it.
  coordinator
  faulty_worker broken result:lie
  local broken=$WORKER
  paced d
  check "the broken one is turned away" ends_within 30 "$broken"
  finish 120
  counted rejected -ge 1
  saw "known answers turned one away"
}

row 22 quick "answer of a wrong shape" "refused, asked elsewhere; same bytes"
row_22() {
  messages 'result:shape@1/20'
  finish 120
  injected "$(faults result:shape)"
  counted unsound -ge 1
  saw "$(counter unsound) unsound"
}

row 23 quick "NaN in an answer of one worker; of both" "refused and computed elsewhere; from both the job ends typed"
row_23() {
  messages 'compute:nan@1/20'
  finish 120
  injected "$(faults compute:nan)"
  counted unsound -ge 1
  saw "$(counter unsound) unsound"
  coordinator
  faulty_worker c 'compute:nan@step2'
  faulty_worker d 'compute:inf@step2'
  check "NaN from two workers ends the job" ends_within 60 "$COORDINATOR"
  check "exit code 65, was $STATUS" test "$STATUS" = 65
  check "it says why" grep -qi "finite" "$ERRORS"
  saw "from both: exit $STATUS"
}

row 50 quick "conditioning lost on its way, or forgotten by a worker" "given again; same bytes"
row_50() {
  messages 'asset:drop@1;compute:forget@1/7'
  finish 120
  injected "$(($(faults asset:drop) + $(faults compute:forget)))"
  counted failed -eq 0
}

row big-loss quick "every kind of message lost, doubled or late now and then, on both sides" "same bytes"
row_big_loss() {
  quiet_picture
  coordinator --fault 'any:drop@0.01;any:dup@0.02;any:delay=5ms..80ms@0.1' \
    --fault-log "$DIR/faults.log"
  faulty_worker a "any:drop@0.01;any:dup@0.02;any:delay=5ms..80ms@0.1;$PACE" --fault-seed 1
  faulty_worker b "any:drop@0.01;any:dup@0.02;any:delay=5ms..80ms@0.1;$PACE" --fault-seed 2
  finish 240
  injected "$(faults any:)"
}
