#!/usr/bin/env bash
# Brings the system programs that the tests use. Calls apt only when something is missing and it may:
# as root on a Debian-like system. Otherwise it says what is missing; those tests are then skipped.
# Ends with 1 only when CI=true and something is still missing, because a skipped test proves nothing.
set -uo pipefail

# Sets `missing` to the Debian packages that are not there. paho is asked of the system's own python3, by its
# full path: a python3 from elsewhere that comes first on PATH does not see Debian's packages.
look() {
  missing=()
  if ! command -v mosquitto_rr >/dev/null || ! command -v mosquitto_sub >/dev/null; then
    missing+=(mosquitto-clients)
  fi
  if ! /usr/bin/python3 -c 'import paho.mqtt.client' >/dev/null 2>&1; then
    missing+=(python3-paho-mqtt)
  fi
  if ! command -v ps >/dev/null || ! command -v pgrep >/dev/null; then
    missing+=(procps)
  fi
  if ! command -v curl >/dev/null; then
    missing+=(curl)
  fi
  if ! command -v chromium >/dev/null; then
    missing+=(chromium)
  fi
  if ! command -v promtool >/dev/null; then
    missing+=(prometheus)
  fi
}

install() {
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq -o DPkg::Lock::Timeout=120 update </dev/null >&2 || true
  apt-get -qq -y -o DPkg::Lock::Timeout=120 install --no-install-recommends "${missing[@]}" </dev/null >&2 || true
}

look
if ((${#missing[@]} > 0)) && ((EUID == 0)) && [[ -e /etc/debian_version ]] && command -v apt-get >/dev/null; then
  echo "system-deps: installing ${missing[*]}" >&2
  install
  look
fi
if ((${#missing[@]} > 0)); then
  echo "system-deps: missing ${missing[*]}; the tests that use them are skipped" >&2
  [[ ${CI:-} == true ]] && exit 1
fi
exit 0
