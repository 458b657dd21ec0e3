#!/usr/bin/env bash
# Checks and tests the alert rules with promtool: the one that is installed, else that of Debian's package `prometheus`,
# unpacked into var/promtool without being installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
cache=../../var/promtool

if ! promtool=$(command -v promtool); then
  promtool=$cache/usr/bin/promtool
  if [ ! -x "$promtool" ]; then
    mkdir -p "$cache"
    (cd "$cache" && { apt-get -qq download prometheus || { apt-get -qq update && apt-get -qq download prometheus; }; } \
      && dpkg-deb -x prometheus_*.deb . && rm prometheus_*.deb) >"$cache/log" 2>&1 || true
  fi
  if [ ! -x "$promtool" ]; then
    cat "$cache/log" >&2
    echo "!!! THE ALERT RULES WERE NOT TESTED: no promtool here, and apt-get could not get it (see above)" >&2
    exit 0
  fi
fi
"$promtool" check rules alerts.yml
"$promtool" test rules alerts_test.yml alerts_days_test.yml
