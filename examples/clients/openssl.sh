#!/bin/sh
# Asks an HTTPS service that wants a client certificate, by openssl s_client, with the identity that the agent exported.
#
# usage: openssl.sh HOST:PORT PATH IDENTITY
#   IDENTITY  the folder that the agent writes ([export] directory in its settings, then /current)
#
# Prints the answer, head and all. Exit status 0 only for an answer of 200.
set -eu
[ $# -eq 3 ] || { echo "usage: openssl.sh HOST:PORT PATH IDENTITY" >&2; exit 2; }
host=${1%:*}
# -verify_return_error and -verify_hostname: without them s_client goes on with a server it does not believe.
answer=$(printf 'GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$2" "$host" |
    openssl s_client -quiet -no_ign_eof -ign_eof -connect "$1" -servername "$host" \
        -verify_return_error -verify_hostname "$host" -CAfile "$3/trust.pem" \
        -cert "$3/cert.pem" -cert_chain "$3/chain.pem" -key "$3/key.pem" 2>/dev/null) || true
printf '%s\n' "$answer"
case $answer in
    "HTTP/1.1 200 "*) exit 0 ;;
    *) exit 1 ;;
esac
