#!/usr/bin/env bash
# Builds what is not built yet and runs every test. The exit code counts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

./setup.sh --packages-only
cmake --preset release
cmake --build --preset release
ctest --preset release
