#!/bin/sh
# Runs in a Debian of its own with two versions of the package in /tmp/packages: installs, serves a HAProxy, upgrades with the
# process running, removes, purges. Each step says what it saw; the first that is wrong ends the script. `cargo xtask package --test`.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt="apt-get -qq -o Dpkg::Use-Pty=0 -y"

fail() {
    echo "FAILED: $*"
    [ ! -f /tmp/stickd.log ] || tail -n 20 /tmp/stickd.log
    exit 1
}

now() { date +%s%3N; }

# Everything that packages may leave behind; dpkg and apt keep notes of their own.
files() {
    find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /run -o -path /var/log -o -path /var/cache -o -path /var/lib/apt \
        -o -path /var/lib/dpkg \) -prune -o -print | sort
}

# until SECONDS WHAT COMMAND…: runs the command until it succeeds.
until_good() {
    end=$(($(date +%s) + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ "$(date +%s)" -lt "$end" ] || fail "$what"
        sleep 0.05
    done
}

ask() { echo "$2" | socat - "UNIX-CONNECT:$1"; }
stickd_has() { ask /run/stickd/stickd.sock "show table" | grep -q "$1"; }
is_member() { ask /run/haproxy.sock "show peers" | grep -q "id=stickd1.*last_status=ESTA"; }
stores() { ask /run/stickd/stickd.sock "show table mycluster/clients" | grep -q "key=$1"; }
haproxy_stores() { ask /run/haproxy.sock "show table mycluster/clients" | grep -q "key=$1"; }

first=$(ls /tmp/packages/*-1_*.deb)
second=$(ls /tmp/packages/*-2_*.deb)
files >/tmp/before

cat >/tmp/haproxy.cfg <<'CFG'
global
    localpeer lb1
    stats socket /run/haproxy.sock level admin
defaults
    mode http
    timeout client 5s
    timeout connect 5s
    timeout server 5s
peers mycluster
    peer lb1 127.0.0.1:10001
    peer stickd1 127.0.0.1:10000
    table clients type ip size 1k expire 1h store http_req_cnt
frontend web
    bind 127.0.0.1:8080
    http-request track-sc0 src table mycluster/clients
    http-request return status 200
CFG

began=$(now)
$apt install "$first" >/dev/null 2>&1 || fail "apt install"
installed=$(now)
stickd check -f /etc/stickd >/dev/null || fail "stickd check of the installed configuration"
# As the unit does: a directory for the socket, one for the tables, and a user without rights.
install -d -o nobody /run/stickd /var/lib/stickd
chmod 700 /var/lib/stickd
serve="setpriv --reuid nobody --clear-groups --no-new-privs --bounding-set=-all stickd run -f /etc/stickd -p /run/stickd/pid"
$serve >/tmp/stickd.log 2>&1 &
haproxy -f /tmp/haproxy.cfg >/tmp/haproxy.log 2>&1 &
haproxy=$!
until_good 20 "HAProxy has no session with stickd" is_member
member=$(now)
echo "installed in $((installed - began)) ms, a member of HAProxy's section after $((member - began)) ms"

for page in stickd.1 stickd.cfg.5; do
    [ -s "/usr/share/man/man${page##*.}/$page.gz" ] || fail "no manual page $page"
done
for file in bash-completion/completions/stickd zsh/vendor-completions/_stickd fish/vendor_completions.d/stickd.fish \
    doc/stickd/copyright doc/stickd/changelog.gz doc/stickd/changelog.Debian.gz; do
    [ -s "/usr/share/$file" ] || fail "no /usr/share/$file"
done
stickd help relay | grep -q "Lines of peers sections" || fail "stickd help relay"
dpkg -V stickd || fail "files differ from the package"

socat -t 2 - TCP:127.0.0.1:8080 >/dev/null <<'HTTP'
GET / HTTP/1.0

HTTP
until_good 5 "stickd did not learn the entry" stores 127.0.0.1
kill "$haproxy"
wait "$haproxy" 2>/dev/null || true
haproxy -f /tmp/haproxy.cfg >>/tmp/haproxy.log 2>&1 &
until_good 10 "a new HAProxy was not taught the entry" haproxy_stores 127.0.0.1
echo "stickd learned an entry, and taught it to a HAProxy that started again"

echo "# changed here" >>/etc/stickd/stickd.cfg
before=$(cat /run/stickd/pid)
$apt -o Dpkg::Options::=--force-confold install "$second" >/dev/null 2>&1 || fail "upgrade"
grep -q "# changed here" /etc/stickd/stickd.cfg || fail "the upgrade lost a change of the configuration"
stickd reload "$before" || fail "the next process did not take over"
after=$(cat /run/stickd/pid)
[ "$before" != "$after" ] || fail "the process is the old one"
stores 127.0.0.1 || fail "the entry was lost in the upgrade"
echo "upgraded: the changed configuration is kept, and the next process took over with the entry"

kill "$after"
until_good 5 "stickd does not end" sh -c "! kill -0 $after"
$apt remove stickd >/dev/null 2>&1 || fail "remove"
[ ! -e /usr/bin/stickd ] || fail "the program is there after the removal"
grep -q "# changed here" /etc/stickd/stickd.cfg || fail "the removal took the configuration along"
$apt purge stickd >/dev/null 2>&1 || fail "purge"
files >/tmp/after
diff /tmp/before /tmp/after || fail "files are left after the purge, or missing"
echo "removed with the configuration kept; after the purge not one file is left"
[ $((member - began)) -lt 10000 ] || fail "10 s are the limit from the package to a member"
