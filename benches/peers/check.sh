#!/usr/bin/env bash
# Set all peers up and check that each does what is compared: check.sh [NAME...]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
clients=$here/../../tests/clients
"$clients/setup.sh"
commands=$("$here/setup.sh")
"$clients/.work/venv/bin/python" "$here/check.py" "$@" <<<"$commands"
