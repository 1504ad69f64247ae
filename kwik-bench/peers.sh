#!/usr/bin/env bash
# Installs the rivals of `kwik-perf peers` on Debian or Ubuntu, and what makes its links: curl, aria2c, nginx, ip and tc.
# nginx is not to run by itself: the measurement starts its own.
set -euo pipefail
sudo=$([ "$(id -u)" = 0 ] || echo sudo)
$sudo apt-get update
$sudo apt-get install --yes --no-install-recommends aria2 curl iproute2 nginx-light
if [ -d /run/systemd/system ]; then $sudo systemctl disable --now nginx; fi
