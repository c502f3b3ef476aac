#!/bin/sh
# Starts the ticket desk and the gateway in front of the examples. Ctrl-C, or the end of the gateway, stops both.
# EXAMPLES_PYTHON: the Python that runs the example servers.
set -u
cd "$(dirname "$0")/.."
: "${EXAMPLES_PYTHON:=$PWD/.venv/bin/python}"
export EXAMPLES_PYTHON
desk='' gateway=''

stop() {
  trap - INT TERM HUP EXIT
  for pid in $gateway $desk; do kill "$pid" 2>/dev/null; done
  wait
}
trap 'stop; exit 0' INT
trap 'stop; exit 143' TERM HUP
trap stop EXIT

mkdir -p examples/data
ready=examples/data/desk.ready
rm -f "$ready"
"$EXAMPLES_PYTHON" examples/ticket_desk.py --port 8801 --db examples/data/desk.sqlite >"$ready" &
desk=$!
tries=0
until [ -s "$ready" ]; do
  kill -0 "$desk" 2>/dev/null || exit 1
  tries=$((tries + 1))
  [ "$tries" -le 150 ] || { echo "ticket desk: not ready after 15 seconds" >&2; exit 1; }
  sleep 0.1
done

.venv/bin/sealgate up --config examples/gateway.yaml "$@" &
gateway=$!
wait "$gateway"
