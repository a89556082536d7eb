#!/bin/sh
# An agent writes a program, its tests are run, a report is made of both: three steps, each in a sandbox of its own.
# A step is known by the id of its run, and the next one mounts what it left, read-only.
#
#   examples/steps/steps.sh my-project 'Write sums.py with a function add, and tests for it with unittest.'
set -eu
volume=$1
task=$2
here=$(dirname "$0")

# 1. The agent works in the volume. Does it fail, so does this.
made=$(hutch agent claude --print-id --volume "$volume" "$task")

# 2. The tests see what it made and cannot change it; what they say is kept. Tests that fail are no reason to stop.
tested=$(
  hutch run --print-id --volume "@$made:/work:ro" --volume "$volume-tests:/out" --cwd /work -- \
    sh -c 'python3 -m unittest discover -v >/out/tests.txt 2>&1; code=$?; echo "$code" >/out/code; exit "$code"'
) || echo "steps: the tests ended with $?" >&2

# 3. A script reads both, and returns the report.
hutch run "$here/report.py" --volume "@$made:/work:ro" --volume "@$tested:/tests:ro" --arg made="$made" --arg tested="$tested"
