#!/usr/bin/env bash
# Installs from Debian what the drill needs and does not find. Fails, and says so, where it cannot.
set -euo pipefail

export DEBIAN_FRONTEND=noninteractive
PATH="$PATH:/usr/sbin:/sbin"

missing=()
compgen -G '/usr/lib/postgresql/*/bin/pg_basebackup' > /dev/null || missing+=(postgresql)
command -v pgbouncer > /dev/null || missing+=(pgbouncer)
command -v haproxy > /dev/null || missing+=(haproxy)
compgen -G '/usr/lib/*/faketime/libfaketime.so.1' > /dev/null || missing+=(faketime)
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ]; then
  echo "the drill needs Debian's packages ${missing[*]}; install them, or run it as root" >&2
  exit 1
fi

# None of them is to be started by its package: the drill starts its own, on ports of its own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' > "$policy" && chmod +x "$policy"
  trap 'rm -f "$policy"' EXIT
fi
mkdir -p /etc/postgresql-common
[ -e /etc/postgresql-common/createcluster.conf ] || echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf

{ apt-get update -q && apt-get install -q -y --no-install-recommends "${missing[@]}"; } > /tmp/drill-install.log 2>&1 || {
  tail -20 /tmp/drill-install.log >&2
  echo "the drill needs Debian's packages ${missing[*]}, which could not be installed" >&2
  exit 1
}
