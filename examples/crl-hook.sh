#!/bin/sh
# Has brokers and proxies read the revocation list again: they do so on SIGHUP. For the enrollment server's settings:
#   [crl]
#   hook = ["/etc/enroll-server/crl-hook.sh", "/run/mosquitto.pid", "/run/nginx.pid"]
# Each argument is a process file. One that is missing is told by the exit status; the others are reloaded all the same.

# Whether SIGHUP reloads this process: whether it catches it, which is the lowest bit here. It ends a process that is starting
# and has written its process file already. Where there is no /proc nobody can tell.
takes_hup() {
    [ ! -r "/proc/$1/status" ] || grep -Eq '^SigCgt:.*[13579bdf]$' "/proc/$1/status"
}

# Up to 5 seconds for one that is starting.
reload() {
    pid=$(cat "$1") || return
    tries=50
    until takes_hup "$pid"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || return
        sleep 0.1
    done
    kill -HUP "$pid"
}

status=0
for file in "$@"; do
    reload "$file" && continue
    echo "crl-hook: nobody was reloaded by $file" >&2
    status=1
done
exit $status
