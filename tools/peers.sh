#!/bin/sh
# SPDX-License-Identifier: MIT
# peers.sh BUILD: stock llama.cpp, for the CPU, and tests/peers/llama_logits.c against it -> BUILD/llama_logits. The source is that of
# llama-cpp-python's package on PyPI; gguf-py goes into BUILD/python. Some minutes, once.
set -eu
version=0.3.36 build=$1 here=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$build"
if [ ! -x "$build/python/bin/python" ]; then
    python3 -m venv "$build/python"
    "$build/python/bin/pip" install -q numpy gguf
fi
source=$build/llama_cpp_python-$version
if [ ! -d "$source" ]; then
    "$build/python/bin/pip" download -q --no-deps --no-binary llama-cpp-python -d "$build" "llama-cpp-python==$version"
    tar -xzf "$source.tar.gz" -C "$build"
fi
llama=$source/vendor/llama.cpp
cmake -S "$llama" -B "$build/llama" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DLLAMA_BUILD_COMMON=OFF \
    -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF -DGGML_OPENMP=OFF \
    -DGGML_LLAMAFILE=OFF --log-level=WARNING >/dev/null
cmake --build "$build/llama" --target llama -j "$(nproc 2>/dev/null || echo 2)" >"$build/llama.log" 2>&1 || {
    tail -n 40 "$build/llama.log" >&2
    exit 1
}
${CC:-cc} -O1 -I"$llama/include" -I"$llama/ggml/include" -c "$here/tests/peers/llama_logits.c" -o "$build/llama_logits.o"
libraries=$(find "$build/llama" -name 'libggml*.a' | tr '\n' ' ')
# The libraries of ggml call one another: twice.
# shellcheck disable=SC2086
${CXX:-c++} "$build/llama_logits.o" "$build/llama/src/libllama.a" $libraries $libraries -lpthread -ldl -lm -o "$build/llama_logits"
