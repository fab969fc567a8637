# shellcheck shell=bash
# shellcheck disable=SC2034 # JOB, LISTEN and the like are read by lib.sh
# Disks that are full, slow, or have damaged what was written. Without privileges by --fault; the
# tests of rows 35 to 39 do the same on small file systems of their own.

row 35 quick "disk full while checkpoints are written (three steps)" "a warning, the job goes on, a later success clears it; same bytes"
row_35() {
  quiet_picture
  coordinator --state-dir "$DIR/state" --fault 'checkpoint:enospc@step3..5' \
    --fault-log "$DIR/faults.log"
  paced a b
  finish 120
  injected "$(faults checkpoint:enospc)"
  check "injected" test "$(faults checkpoint:enospc)" -ge 1
  check "a warning" event '"event":"warning"'
  saw "$(events '"event":"warning"') warning"
}

row 37 quick "checkpoint writes that take 5 s each" "denoising does not wait; same bytes"
row_37() {
  quiet_picture
  coordinator --state-dir "$DIR/state" --fault 'checkpoint:slow=5s' --fault-log "$DIR/faults.log"
  paced a b
  finish 120
  injected "$(faults checkpoint:slow)"
  # Twelve steps: a minute, if each waited for its checkpoint.
  local took
  took=$(($(ms_of '"done":12,"event":"step"') - $(ms_of '"done":1,"event":"step"')))
  check_within "denoising" "$took" 30000
  saw "11 steps in $(seconds_of "$took")"
}

row 38 quick "newest checkpoint cut off, or one of its bits flipped" "noticed, the one before is taken, and said; same bytes"
row_38() {
  quiet_picture
  local damage newest
  for damage in truncated flipped; do
    rm -rf "$DIR/state" "$DIR/picture.png"
    coordinator --state-dir "$DIR/state" --fault step:kill@7
    paced "$damage"
    check "the first life ends" ends_within 60 "$COORDINATOR"
    newest=$(find "$DIR/state" -name '*.safetensors' -printf '%T@ %p\n' | sort -n | tail -1 | cut -d' ' -f2-)
    if [ "$damage" = truncated ]; then
      truncate -s -1000 "$newest"
    else
      printf '\377' | dd of="$newest" bs=1 seek=$(($(stat -c %s "$newest") / 2)) conv=notrunc status=none
    fi
    "$TESSERA" generate "${JOB[@]}" --output "$DIR/picture.png" --state-dir "$DIR/state" --resume \
      --json >"$DIR/resume-$damage.json" 2>"$DIR/resume-$damage.log" && STATUS=0 || STATUS=$?
    check "$damage: exit code 0, was $STATUS" test "$STATUS" = 0
    check "$damage: same bytes" cmp "$QUIET" "$DIR/picture.png"
    check "$damage: it says so" grep -qi "damaged\|does not\|passed over\|checksum" "$DIR/resume-$damage.log"
    check "$damage: not from the start" grep -q '"event":"resumed".*"step":[1-9]' "$DIR/resume-$damage.json"
    check "$damage: from the one before" not grep -q '"event":"resumed".*"step":7' "$DIR/resume-$damage.json"
    saw "$damage: $(grep -i "damaged\|does not\|checksum" "$DIR/resume-$damage.log" | head -1 | cut -c1-90)"
  done
  injected 2
}

row 39 quick "state of another request, another model" "refused with a sentence, exit 65, the state is left as it was"
row_39() {
  coordinator --state-dir "$DIR/state" --fault step:kill@3
  paced a
  check "the first life ends" ends_within 60 "$COORDINATOR"
  local before what
  before=$(cd "$DIR/state" && find . -name '*.safetensors' -exec cksum {} + | sort)
  "$TESSERA" synthesize tiny --output "$DIR/other"
  for what in request model; do
    local more=(--steps 13)
    [ "$what" = request ] || more=(--model "$DIR/other")
    "$TESSERA" generate "${JOB[@]}" "${more[@]}" --output "$DIR/picture.png" \
      --state-dir "$DIR/state" --resume >"$DIR/$what.log" 2>&1 && STATUS=0 || STATUS=$?
    check "$what: exit code 65, was $STATUS" test "$STATUS" = 65
    saw "$what: $(tail -n 1 "$DIR/$what.log" | cut -c1-80)"
  done
  check "untouched" test "$before" = "$(cd "$DIR/state" && find . -name '*.safetensors' -exec cksum {} + | sort)"
  injected 2
}
