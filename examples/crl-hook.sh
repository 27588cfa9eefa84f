#!/bin/sh
# Has brokers and proxies read the revocation list again: they do so on SIGHUP. For the enrollment server's settings:
#   [crl]
#   hook = ["/etc/enroll-server/crl-hook.sh", "/run/mosquitto.pid", "/run/nginx.pid"]
# Each argument is a process file. One that is missing is told by the exit status; the others are reloaded all the same.
status=0
for file in "$@"; do
    if pid=$(cat "$file") && kill -HUP "$pid"; then
        continue
    fi
    echo "crl-hook: nobody was reloaded by $file" >&2
    status=1
done
exit $status
