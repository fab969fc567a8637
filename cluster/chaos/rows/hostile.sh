# shellcheck shell=bash
# shellcheck disable=SC2034 # JOB, LISTEN and the like are read by lib.sh
# Strangers at the coordinator's port.

# hammer COUNT: so many connections that say something foreign and go away.
hammer() {
  local port=$2 number fd
  for number in $(seq "$1"); do
    # Whatever of it fails is the coordinator's right.
    { exec {fd}<>"/dev/tcp/127.0.0.1/$port" && head -c $((number * 37 % 3000 + 1)) /dev/urandom >&"$fd"; } 2>/dev/null || true
    { exec {fd}>&-; } 2>/dev/null || true
  done
}

row 40 quick "500 connections with random bytes" "refused; legitimate work is not disturbed; same bytes"
row_40() {
  quiet_picture
  coordinator
  paced a b
  await '"done":1,"event":"step"' 60
  hammer 500 "$(port_of "$DIR/join")"
  finish 120
  counted lost -eq 0
  injected 500
  check "the log is not flooded: $(wc -l <"$ERRORS") lines" test "$(wc -l <"$ERRORS")" -lt 100
}

row 41 quick "port scan, HTTP GET, TLS hello on the port" "closed within seconds; legitimate work is not disturbed; same bytes"
row_41() {
  quiet_picture
  coordinator
  local port before number fd
  port=$(port_of "$DIR/join")
  paced a b
  await '"done":1,"event":"step"' 60
  before=$(descriptors "$COORDINATOR")
  for number in $(seq 20); do
    { exec {fd}<>"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null && exec {fd}>&-
  done
  if command -v curl >/dev/null; then
    for number in $(seq 10); do curl -s -m 2 "http://127.0.0.1:$port/" >/dev/null || true; done
  fi
  if command -v openssl >/dev/null; then
    for number in $(seq 10); do
      timeout 2 openssl s_client -connect "127.0.0.1:$port" </dev/null >/dev/null 2>&1 || true
    done
  fi
  check "descriptors go back to $before" until_true 20 bash -c \
    "[ \$(find /proc/$COORDINATOR/fd -mindepth 1 -maxdepth 1 | wc -l) -le $((before + 2)) ]"
  finish 120
  counted lost -eq 0
  injected 40
  saw "descriptors back to $before"
}

row 42 local "1000 connections that stay half open" "existing workers go on, new ones get in; same bytes"
row_42() {
  JOB=(--prompt "$PROMPT" --method cutdiffusion --seed 4 --size 512x512 --steps 30)
  ulimit -n 4096 2>/dev/null || skip "too few descriptors are allowed here"
  quiet_picture
  coordinator
  local port number fd
  port=$(port_of "$DIR/join")
  paced a
  await '"done":1,"event":"step"' 60
  for number in $(seq 1000); do
    { exec {fd}<>"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null || true
  done
  local asked
  asked=$(now_ms)
  paced b
  await 'b joined' 20
  recovery "a new worker is in after $(seconds_of $(($(ms_of 'b joined') - asked)))"
  finish 240
  counted lost -eq 0
  injected 1000
}

row 59 local "64 descriptors for the coordinator, 60 connections more" "new ones are refused, the running job goes on; same bytes"
row_59() {
  quiet_picture
  # shellcheck disable=SC2016
  COORDINATOR_PREFIX=(bash -c 'ulimit -n 64; exec "$@"' limited)
  coordinator
  local port number fd
  port=$(port_of "$DIR/join")
  paced a b
  await '"done":1,"event":"step"' 60
  for number in $(seq 60); do
    { exec {fd}<>"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null || true
  done
  finish 180
  injected 60
}
