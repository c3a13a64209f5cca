#!/bin/bash
# What is done inside of the virtual machine, as root, once it is up; see run.sh.
set -euo pipefail

here=/opt/ringwire
admin=http://127.0.0.1:9002
rate=$(cat $here/trickle_per_s)
step=boot

say() { echo "trial: $*"; }

fail() {
  say "FAILED at $step: $*"
  systemctl status --no-pager --full ringwire.service ringwire.socket || true
  journalctl --no-pager -u ringwire.service -n 60 || true
  exit 1
}
trap 'fail "line $LINENO"' ERR

# within SECONDS COMMAND...: until it succeeds.
within() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < end)) || return 1
    sleep 0.2
  done
}

shown() { systemctl show --value -p "$1" "${2:-ringwire.service}"; }

is_restarted() { [ "$(shown NRestarts)" -gt "$1" ] && [ "$(shown ActiveState)" = active ]; }

has_line() { grep -q "$1" "$2"; }

# metric NAME: its value.
metric() { curl -fsS $admin/metrics | sed -n "s/^$1 //p"; }

publish() { ringwire publish trial:topic "$1" >/dev/null; }

passed() { say "passed: $step"; }

by_hand() {
  install -m 755 $here/ringwire /usr/bin/ringwire
  install -m 644 -t /usr/lib/systemd/system $here/ringwire.service $here/ringwire.socket
  install -m 644 $here/ringwire.sysusers /usr/lib/sysusers.d/ringwire.conf
  install -m 644 $here/ringwire.tmpfiles /usr/lib/tmpfiles.d/ringwire.conf
  install -D -m 644 -t /usr/share/ringwire $here/60-ringwire.conf
  systemd-sysusers ringwire.conf
  install -D -m 644 /dev/null /etc/ringwire/ringwire.toml
  systemd-tmpfiles --create ringwire.conf
  systemctl daemon-reload
}

by_package() {
  apt-get -q install -y $here/ringwire.deb
  [ "$(shown ActiveState)" = inactive ] || fail "installing it has started it"
  ringwire config check --config /etc/ringwire/ringwire.toml
  for file in usr/share/man/man1/ringwire{,-serve,-top}.1.gz usr/share/ringwire/60-ringwire.conf \
    usr/share/bash-completion/completions/ringwire usr/share/doc/ringwire/docs/operations.md; do
    [ -s "/$file" ] || fail "/$file is missing"
  done
}

step=install
if [ -e $here/ringwire.deb ]; then by_package; else by_hand; fi
[ "$(stat -c '%U %G %a' /etc/ringwire/ringwire.toml)" = "root ringwire 640" ] || fail "the configuration's mode"
[ "$(stat -c '%U %G %a' /run/ringwire)" = "ringwire ringwire 750" ] || fail "/run/ringwire"
passed

# What a million connections lack, from a fresh machine to nothing but memory and cores.
step=doctor
doctor() {
  systemd-run --quiet --pipe --wait -p LimitNOFILE=1048576 \
    ringwire doctor --json --connections 1000000 >/run/doctor.json || true
  python3 -c '
import json
for check in json.load(open("/run/doctor.json"))["checks"]:
    if check["verdict"] == "short":
        print(check["check"])
'
}
before=$(doctor)
[ -n "$before" ] || fail "a fresh machine lacks nothing"
cp /usr/share/ringwire/60-ringwire.conf /etc/sysctl.d/
sysctl --system >/run/sysctl.log 2>&1 || fail "sysctl --system: $(cat /run/sysctl.log)"
after=$(doctor)
say "short: $(tr '\n' ';' <<<"$before") and with the settings: $(tr '\n' ';' <<<"$after")"
[ "${after:-memory}" = memory ] || fail "still short: $after"
passed

step=configure
printf '[server]\nshards = 2\ndrain_rate_per_s = 20\n' >/etc/ringwire/ringwire.toml
ringwire config check --config /etc/ringwire/ringwire.toml
passed

step="systemd-analyze verify"
warnings=$(systemd-analyze verify --man=no ringwire.service ringwire.socket 2>&1) || true
# Other units of the machine are none of ours.
warnings=$(grep -i ringwire <<<"$warnings" || true)
[ -z "$warnings" ] || fail "$warnings"
passed

step=start
systemctl enable --now ringwire.socket ringwire.service
[ "$(shown ActiveState)" = active ] || fail "not active"
pid=$(shown MainPID)
[ "$(ps -o user= -p "$pid")" = ringwire ] || fail "runs as $(ps -o user= -p "$pid")"
[ "$(metric ringwire_ready)" = 1 ] || fail "not ready"
says_shards() { [[ $(shown StatusText) == *"2 shards"* ]]; }
within 20 says_shards || fail "status: $(shown StatusText)"
passed

step="systemd-analyze security"
exposure=$(systemd-analyze security --no-pager ringwire.service | sed -n 's/.*exposure level for ringwire.service: \([0-9.]*\).*/\1/p')
systemd-analyze security --threshold=25 ringwire.service >/dev/null || fail "exposure $exposure"
say "exposure $exposure"
passed

step="shards are pinned"
for shard in 0 1; do
  thread=$(grep -l "^ringwire-$shard\$" /proc/"$pid"/task/*/comm)
  cores=$(sed -n 's/^Cpus_allowed_list:\t//p' "${thread%comm}status")
  [ "$cores" = "$shard" ] || fail "shard $shard may run on $cores"
done
passed

step=connect
python3 $here/client.py trial:topic >/run/subscribed &
subscriber=$!
is_subscribed() { [ "$(metric ringwire_subscriptions)" = 1 ]; }
within 60 is_subscribed || fail "no subscription"
publish '"first"'
within 20 has_line '^1 "first"' /run/subscribed || fail "nothing comes: $(cat /run/subscribed)"
[ "$(metric ringwire_publishes_accepted_total)" = 1 ] || fail "not published"
passed

step=look
curl -fsS $admin/ >/run/page
has_line '<title>Ringwire' /run/page || fail "no page"
curl -fsS $admin/readyz >/dev/null || fail "not ready"
ringwire top --once >/run/top
has_line '^connections *1 of ' /run/top || fail "$(cat /run/top)"
passed

step=journal
journalctl --no-pager -u ringwire.service -o json | python3 -c '
import json, sys
entries = [json.loads(line) for line in sys.stdin]
ours = [e for e in entries if e.get("_COMM", "").startswith("ringwire") and "MESSAGE" in e]
assert any("ready" in e["MESSAGE"] for e in ours), entries
assert not any(e["MESSAGE"].startswith("<") for e in ours), "levels are not understood"
'
passed

step=reload
printf '[server]\nshards = 2\ndrain_rate_per_s = 20\nlog = "debug"\n' >/etc/ringwire/ringwire.toml
systemctl reload ringwire.service
[ "$(shown MainPID)" = "$pid" ] || fail "another process"
publish '"after the reload"'
within 20 has_line '^2 "after the reload"' /run/subscribed || fail "the subscriber was lost"
kill "$subscriber"
passed

# under_trickle COMMAND...: which has the service restarted, while clients come all the time.
under_trickle() {
  rm -f /run/trickle.stop
  python3 $here/trickle.py "$rate" /run/trickle.stop >/run/trickle &
  local trickle=$! before seen
  before=$(shown MainPID)
  so_far() { (echo 0; cat /run/trickle) | tail -n 1 | cut -d' ' -f1; }
  has_gone_on() { [ "$(so_far)" -gt $((seen + rate)) ]; }
  seen=0
  within 60 has_gone_on || fail "clients do not get in"
  "$@"
  [ "$(shown MainPID)" != "$before" ] || fail "the same process"
  [ "$(shown ActiveState)" = active ] || fail "not active"
  seen=$(so_far)
  within 60 has_gone_on || fail "nobody comes in afterwards"
  touch /run/trickle.stop
  wait "$trickle" || fail "$(tail -n 3 /run/trickle)"
  say "$(tail -n 1 /run/trickle)"
}

step="restart under a trickle of clients"
under_trickle systemctl restart ringwire.service
journalctl --no-pager -u ringwire.service | grep -q 'drained' || fail "it was not drained"
[ "$(shown NRestarts)" = 0 ] || fail "it was restarted by itself"
passed

step=watchdog
mkdir -p /run/systemd/system/ringwire.service.d
printf '[Service]\nWatchdogSec=4\nEnvironment=RINGWIRE_TEST_HANG_WHILE_EXISTS=/run/ringwire/hang\n' \
  >/run/systemd/system/ringwire.service.d/watchdog.conf
systemctl daemon-reload
systemctl restart ringwire.service
pid=$(shown MainPID)
sleep 6
[ "$(shown MainPID)" = "$pid" ] || fail "killed though it is alive"
touch /run/ringwire/hang
was_killed() { [ "$(shown NRestarts)" -gt 0 ]; }
within 60 was_killed || fail "a shard hangs and nobody minds"
rm /run/ringwire/hang
within 60 is_restarted 0 || fail "it does not come back"
journalctl --no-pager -u ringwire.service | grep -qi 'watchdog timeout' || fail "it was not the watchdog"
publish 2
passed

step=stop
python3 $here/trickle.py --hold 40 >/run/hold &
hold=$!
within 60 has_line '^40 ' /run/hold || fail "clients do not get in"
systemctl stop ringwire.socket ringwire.service
[ "$(shown ActiveState) $(shown Result) $(shown ExecMainStatus)" = "inactive success 0" ] ||
  fail "$(shown ActiveState) $(shown Result) $(shown ExecMainStatus)"
wait "$hold" || fail "$(tail -n 3 /run/hold)"
say "$(tail -n 1 /run/hold)"
journalctl --no-pager -u ringwire.service | grep -q 'draining.*rate_per_s=20 ' || fail "not at the configured rate"
passed

if [ -e $here/ringwire.deb ]; then
  step="upgrade and remove"
  systemctl start ringwire.socket ringwire.service
  under_trickle dpkg -i $here/ringwire.deb
  has_line drain_rate_per_s /etc/ringwire/ringwire.toml || fail "an upgrade has replaced the configuration"
  dpkg -r ringwire
  [ "$(shown ActiveState)" = inactive ] || fail "it runs on without its package"
  [ -e /etc/ringwire/ringwire.toml ] && [ ! -e /usr/bin/ringwire ] || fail "what is left"
  dpkg -P ringwire
  [ ! -e /etc/ringwire/ringwire.toml ] || fail "the configuration is left"
  passed
fi

trap - ERR
say "all passed"
