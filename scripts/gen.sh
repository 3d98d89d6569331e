#!/usr/bin/env bash
# Regenerates all code that is made from proto/: TypeScript in gen/, Go in clients/go/gen, Python in
# clients/python/src/sealpoint/gen. Every tool is pinned, so the same protos give the same bytes: after it,
# `git diff` must be empty. Needs node_modules (npm ci), Go and Python 3.10 or later; fetches the pinned plugins when missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# buf and protoc-gen-es are pinned in package.json.
protoc_gen_go=v1.36.12
protoc_gen_go_grpc=v1.6.2
grpcio_tools=1.85.1
python_protobuf=7.36.2

tools=$PWD/.tools/bin
export PATH="$PWD/node_modules/.bin:$tools:$PATH"

if [[ "$("$tools/protoc-gen-go" --version 2>/dev/null)" != "protoc-gen-go $protoc_gen_go" ]]; then
  (cd / && GOBIN=$tools go install "google.golang.org/protobuf/cmd/protoc-gen-go@$protoc_gen_go")
fi
if [[ "$("$tools/protoc-gen-go-grpc" --version 2>/dev/null)" != "protoc-gen-go-grpc ${protoc_gen_go_grpc#v}" ]]; then
  (cd / && GOBIN=$tools go install "google.golang.org/grpc/cmd/protoc-gen-go-grpc@$protoc_gen_go_grpc")
fi
python=$PWD/.venv/bin/python
[[ -x $python ]] || python3 -m venv .venv
installed=$("$python" -c 'from importlib.metadata import version as v; print(v("grpcio-tools"), v("protobuf"))' 2>/dev/null || true)
if [[ "$installed" != "$grpcio_tools $python_protobuf" ]]; then
  "$python" -m pip install --quiet --disable-pip-version-check \
    "grpcio-tools==$grpcio_tools" "grpcio==$grpcio_tools" "protobuf==$python_protobuf"
fi

# Everything is made aside first, so that a failure leaves the tree as it was.
aside=$(mktemp -d)
trap 'rm -rf "$aside"' EXIT
buf lint
buf generate -o "$aside"
buf generate --template buf.gen.go.yaml -o "$aside"
"$python" scripts/gen_python.py proto "$aside/clients/python/src/sealpoint/gen"

# Replaces a generated folder, and only if it differs: others may be reading it.
place() {
  if ! diff -rq --exclude=__pycache__ "$aside/$1" "$1" >/dev/null 2>&1; then
    rm -rf "$1"
    mkdir -p "$(dirname "$1")"
    cp -R "$aside/$1" "$1"
    echo "updated $1"
  fi
}
# The TypeScript client ships its own copy: it imports nothing from outside its folder.
mkdir -p "$aside/clients/typescript"
cp -R "$aside/gen" "$aside/clients/typescript/gen"
place clients/typescript/gen/qdrant
place clients/typescript/gen/sealpoint
place gen/qdrant
place gen/sealpoint
place clients/go/gen
place clients/python/src/sealpoint/gen/qdrant
place clients/python/src/sealpoint/gen/sealpoint
