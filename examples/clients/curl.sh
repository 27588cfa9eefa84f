#!/bin/sh
# Asks an HTTPS service that wants a client certificate, by curl, with the identity that the agent exported.
#
# usage: curl.sh URL IDENTITY
#   IDENTITY  the folder that the agent writes ([export] directory in its settings, then /current)
#
# Prints the answer. Exit status 0 only for an answer of 2xx.
set -eu
[ $# -eq 2 ] || { echo "usage: curl.sh URL IDENTITY" >&2; exit 2; }
# --fail: an answer of 4xx is a failure, such as nginx's 400 for a revoked certificate.
exec curl --silent --show-error --fail --max-time 20 --tlsv1.2 \
    --cert "$2/chain.pem" --key "$2/key.pem" --cacert "$2/trust.pem" "$1"
