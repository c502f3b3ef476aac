#!/bin/sh
# The demo's two parties: the agent (demo.py) and the person who approves (approver.py), each in a process of its own.
set -u
cd "$(dirname "$0")/.."
python=${1:-.venv/bin/python}
"$python" examples/approver.py &
approver=$!
trap 'kill "$approver" 2>/dev/null' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
"$python" examples/demo.py
