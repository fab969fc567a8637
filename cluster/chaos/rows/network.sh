# shellcheck shell=bash
# shellcheck disable=SC2034 # JOB, LISTEN and the like are read by lib.sh
# Networks that are slow, cut, lossy, or reset connections: by tessera fault-proxy, which needs no
# privileges; and by packet filters between network namespaces.

# proxy NAME [ARGUMENTS…]: between worker NAME and the coordinator. Afterwards JOIN is a join file
# that leads through it, and tell NAME "cut up" speaks to it.
declare -A PROXY_IN
proxy() {
  local name=$1 port hold
  shift
  mkfifo "$DIR/$name.in"
  # Read and write: opening it does not wait, and it never ends.
  exec {hold}<>"$DIR/$name.in"
  PROXY_IN[$name]=$hold
  "$TESSERA" fault-proxy --listen 127.0.0.1:0 --to "127.0.0.1:$(port_of "$DIR/join")" "$@" \
    <"$DIR/$name.in" >"$DIR/$name.proxy" 2>&1 &
  PIDS+=("$!")
  until_true 10 grep -q '"address"' "$DIR/$name.proxy"
  port=$(sed -n 's/.*"address":"[^"]*:\([0-9]*\)".*/\1/p' "$DIR/$name.proxy" | head -1)
  JOIN="$DIR/$name.join"
  sed "s/:$(port_of "$DIR/join")\b/:$port/" "$DIR/join" >"$JOIN"
}
tell() { echo "$2" >&"${PROXY_IN[$1]}"; }
LONG=(--prompt "$PROMPT" --method cutdiffusion --seed 4 --size 512x512)

# Cuts one of two workers off, this way for so many seconds, in a job of so many steps.
cut_and_heal() {
  local way=$1 seconds=$2 cut lost healed
  JOB=("${LONG[@]}" --steps "$3")
  quiet_picture
  coordinator
  paced a
  proxy b
  faulty_worker b "$PACE"
  await '"done":2,"event":"step"' 60
  cut=$(now_ms)
  tell b "cut $way"
  await 'b is lost' 15
  lost=$(ms_of 'b is lost')
  check_within "loss" $((lost - cut)) 11500
  sleep $((seconds - (lost - cut) / 1000))
  healed=$(now_ms)
  tell b heal
  check "it joins again" until_true 20 bash -c "[ \$(grep -c 'b joined' '$EVENTS') -ge 2 ]"
  recovery "lost after $(seconds_of $((lost - cut))), in again $(seconds_of $(($(ms_after "$healed" 'b joined') - healed))) after healing"
  finish 240
}

row 8 local "partition of a worker for 30 s, then healed" "lost at 10 s; stale answers afterwards change nothing; joins again; same bytes"
row_8() { cut_and_heal both 30 50; }

row 9 local "one-way cut, worker to coordinator, 15 s" "lost at 10 s; dials anew and joins again; same bytes"
row_9() { cut_and_heal up 15 40; }

row 10 local "partition of two of four workers, for good" "the job goes on with the others; same bytes"
row_10() {
  JOB=("${LONG[@]}" --steps 30)
  quiet_picture
  coordinator
  paced a b
  proxy c
  faulty_worker c "$PACE"
  proxy d
  faulty_worker d "$PACE"
  await ', 4 at work' 30
  await '"done":2,"event":"step"' 60
  local cut
  cut=$(now_ms)
  tell c "cut both"
  tell d "cut both"
  await 'c is silent' 8
  await 'd is silent' 8
  finish 240
  injected 2
  recovery "suspect after $(seconds_of $(($(ms_of 'c is silent') - cut)))"
}

row 11 local "latency 200 ± 100 ms to every worker" "nobody is taken for lost; same bytes"
row_11() {
  quiet_picture
  coordinator
  proxy a --delay 200ms --jitter 100ms
  worker a
  proxy b --delay 200ms --jitter 100ms
  worker b
  finish 240
  counted lost -eq 0
  counted resent -eq 0
  check "nobody is suspect" not event 'is silent'
  injected "all messages"
}

row 12 local "1 MB/s, and 64 kB/s, to one worker" "heartbeats live, no loss; the slow link gets fewer tasks; same bytes"
row_12() {
  quiet_picture
  coordinator
  proxy a --throttle 1MB/s
  faulty_worker a "$PACE"
  proxy b --throttle 64kB/s
  faulty_worker b "$PACE"
  JOIN=""
  faulty_worker c "$PACE"
  finish 240
  counted lost -eq 0
  injected "all messages"
  local b c
  b=$(grep -c '"who":"b"' "$DIR/faults.log" || true)
  c=$(grep -c '"who":"c"' "$DIR/faults.log" || true)
  check "fewer tasks over the slow link" test "$b" -lt "$c"
  saw "$b tasks over 64 kB/s, $c over none"
}

row 14 local "TCP reset every 2 s" "redials; no descriptor is left over; same bytes"
row_14() {
  JOB=("${LONG[@]}" --steps 30)
  quiet_picture
  coordinator
  paced a
  proxy b --reset-every 2s
  faulty_worker b "$PACE"
  await '"done":2,"event":"step"' 60
  local before after
  before=$(descriptors "$COORDINATOR")
  until_true 60 step_done 25 || true
  after=$(descriptors "$COORDINATOR")
  tell b status
  finish 240
  check "descriptors before $before, after $after" test "$after" -le $((before + 3))
  injected "$(sed -n 's/.*"resets":\([0-9]*\).*/\1/p' "$DIR/b.proxy" | tail -1)"
  saw "descriptors $before, then $after"
}

# --------------------------------------------------------------- network namespaces

NET=tsr$$
# namespaces COUNT: a bridge with the coordinator's namespace at 10.99.0.1 and workers at .2 ….
namespaces() {
  need_root
  need_tool ip
  need_tool iptables
  trap 'end_processes; end_namespaces' EXIT
  ip link add "${NET}br" type bridge 2>>"$DIR/checks.log" || skip "no bridge can be made here"
  ip link set "${NET}br" up
  local number
  for number in $(seq 0 "$1"); do
    ip netns add "$NET-$number"
    ip link add "${NET}v$number" type veth peer name eth0 netns "$NET-$number"
    ip link set "${NET}v$number" master "${NET}br"
    ip link set "${NET}v$number" up
    ip -n "$NET-$number" addr add "10.99.0.$((number + 1))/24" dev eth0
    ip -n "$NET-$number" link set eth0 up
    ip -n "$NET-$number" link set lo up
  done
  COORDINATOR_PREFIX=(ip netns exec "$NET-0")
  LISTEN="tcp://10.99.0.1:5570"
  outside
}

# How addresses off this machine are allowed: keys when there are some, --insecure otherwise.
outside() {
  if "$TESSERA" generate --help | grep -q -- --authorized-keys; then
    INSECURE=()
  else
    INSECURE=(--insecure)
  fi
}

end_namespaces() {
  local number
  for number in 0 1 2 3 4; do
    # Whatever is left in a namespace of ours is ours.
    ip netns pids "$NET-$number" 2>/dev/null | xargs -r kill -KILL 2>/dev/null || true
    ip link del "${NET}v$number" 2>/dev/null || true
    ip netns del "$NET-$number" 2>/dev/null || true
  done
  ip link del "${NET}br" 2>/dev/null || true
}

# in_namespace NUMBER COMMAND…
in_namespace() { ip netns exec "$NET-$1" "${@:2}"; }
# worker_in NUMBER NAME SPEC
worker_in() {
  WORKER_PREFIX=(ip netns exec "$NET-$1")
  faulty_worker "$2" "$3"
  WORKER_PREFIX=()
}

# Workers a and b, each in a namespace of its own; two steps of a long job are done.
pair_in_namespaces() {
  JOB=("${LONG[@]}" --steps 40)
  quiet_picture
  namespaces 2
  coordinator
  worker_in 1 a "$PACE"
  worker_in 2 b "$PACE"
  await '"done":2,"event":"step"' 60
}

row 7 root "worker host loses power (its link goes down)" "suspect at 3 s, lost at 10 s; same bytes"
row_7() {
  pair_in_namespaces
  local cut
  cut=$(now_ms)
  ip link set "${NET}v2" down
  await 'b is lost' 15
  check_within "loss" $(($(ms_of 'b is lost') - cut)) 11500
  recovery "suspect after $(seconds_of $(($(ms_of 'b is silent') - cut))), lost after $(seconds_of $(($(ms_of 'b is lost') - cut)))"
  finish 240
}

row 9-drop root "one-way loss of a worker's packets for 15 s" "lost at 10 s; joins again; same bytes"
row_9_drop() {
  pair_in_namespaces
  local cut
  cut=$(now_ms)
  in_namespace 2 iptables -A OUTPUT -j DROP
  await 'b is lost' 15
  check_within "loss" $(($(ms_of 'b is lost') - cut)) 11500
  sleep 4
  in_namespace 2 iptables -D OUTPUT -j DROP
  check "it joins again" until_true 30 bash -c "[ \$(grep -c 'b joined' '$EVENTS') -ge 2 ]"
  recovery "lost after $(seconds_of $(($(ms_of 'b is lost') - cut)))"
  finish 240
}

row 13 root "5 % of all packets lost, both ways" "TCP hides it, timers hold: nobody is lost; same bytes"
row_13() {
  quiet_picture
  namespaces 2
  local number
  for number in 1 2; do
    in_namespace "$number" iptables -A INPUT -i eth0 -m statistic --mode random --probability 0.05 -j DROP
    in_namespace "$number" iptables -A OUTPUT -o eth0 -m statistic --mode random --probability 0.05 -j DROP
  done
  coordinator
  worker_in 1 a "$PACE"
  worker_in 2 b "$PACE"
  finish 240
  counted lost -eq 0
  injected "$(for number in 1 2; do in_namespace "$number" iptables -nvxL; done | awk '/DROP/ && /statistic/ { sum += $1 } END { print sum }')"
}

row 64 root "the coordinator's name leads elsewhere after its restart" "workers look the name up again when they dial; same bytes"
row_64() {
  need_root
  need_tool unshare
  quiet_picture
  namespaces 1
  echo "10.99.0.1 hub" >"$DIR/hosts"
  coordinator --state-dir "$DIR/state" --fault step:kill@4
  sed 's/10\.99\.0\.1/hub/' "$DIR/join" >"$DIR/named.join"
  JOIN="$DIR/named.join"
  # shellcheck disable=SC2016
  WORKER_PREFIX=(ip netns exec "$NET-1" unshare -m bash -c
    'mount --bind "$0" /etc/hosts && exec "$@"' "$DIR/hosts")
  faulty_worker a "$PACE"
  WORKER_PREFIX=()
  check "the first life ends" ends_within 60 "$COORDINATOR"
  ip -n "$NET-0" addr del 10.99.0.1/24 dev eth0
  ip -n "$NET-0" addr add 10.99.0.77/24 dev eth0
  # In place, because the file is bound by its inode.
  echo "10.99.0.77 hub" >"$DIR/hosts"
  LISTEN="tcp://10.99.0.77:5570"
  coordinator --state-dir "$DIR/state" --resume
  local moved
  moved=$(now_ms)
  await 'a joined' 30
  recovery "found after $(seconds_of $(($(ms_of 'a joined') - moved)))"
  finish 120
}
