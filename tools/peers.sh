#!/bin/sh
# SPDX-License-Identifier: MIT
# peers.sh BUILD [logits|bench|server]: stock llama.cpp for the CPU, from the source that llama-cpp-python's package on PyPI holds. What is there is
# not built again.
#   logits (the default)  its libraries without OpenMP and llamafile, tests/peers/llama_logits.c against them -> BUILD/llama_logits, and gguf-py
#                         in BUILD/python; some minutes
#   bench                 its tools as upstream builds them, with -march=native -> BUILD/bench/bin/llama-{bench,quantize,perplexity,tokenize},
#                         and bench/llama.c against its libraries -> BUILD/llama_session; some ten minutes
#   server                its server and its quantizer, as upstream builds them for this machine -> BUILD/bench/bin/llama-{server,quantize}; half an hour
#                         of one core
# TARE_PEER_FLAGS are more words for cmake: "-DGGML_NATIVE=OFF -DGGML_AVX512=OFF" is an AVX2 build. TARE_PEER_JOBS: how many compilers at once.
set -eu
version=0.3.36 build=$1 part=${2:-logits} here=$(cd "$(dirname "$0")/.." && pwd)
jobs=${TARE_PEER_JOBS:-$(nproc 2>/dev/null || echo 2)}
mkdir -p "$build"
build=$(cd "$build" && pwd)
source=$build/llama_cpp_python-$version
if [ ! -d "$source" ]; then
    archive=$source.tar.gz
    [ -e "$archive" ] ||
        python3 -m pip download -q --no-deps --no-binary llama-cpp-python -d "$build" "llama-cpp-python==$version"
    mkdir -p "$source.part" # a run that is killed leaves no half of it under its name
    tar -xzf "$archive" -C "$source.part" --strip-components=1
    mv "$source.part" "$source"
fi
llama=$source/vendor/llama.cpp

# compile FOLDER TARGETS..., the log beside the folder
compile() {
    folder=$1
    shift
    cmake --build "$folder" --target "$@" -j "$jobs" >"$folder.log" 2>&1 || {
        tail -n 40 "$folder.log" >&2
        exit 1
    }
}

# program FOLDER SOURCE OUTPUT [FLAGS]: one C file against the libraries in FOLDER. Those of ggml call one another: twice.
program() {
    libraries=$(find "$1/ggml" -name 'libggml*.a' | tr '\n' ' ')
    ${CC:-cc} -O2 -I"$llama/include" -I"$llama/ggml/include" -c "$2" -o "$3.o"
    # shellcheck disable=SC2086
    ${CXX:-c++} "$3.o" "$1/src/libllama.a" $libraries $libraries ${4:-} -lpthread -ldl -lm -o "$3"
}

# The tools in one folder, for this very machine, without what would need a network when they are built or run.
configure_native() {
    # shellcheck disable=SC2086
    cmake -S "$llama" -B "$build/bench" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DGGML_NATIVE=ON -DLLAMA_BUILD_TESTS=OFF \
        -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=ON -DLLAMA_BUILD_APP=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF \
        -DLLAMA_OPENSSL=OFF ${TARE_PEER_FLAGS:-} --log-level=WARNING >/dev/null
}

case $part in
logits)
    if [ ! -x "$build/python/bin/python" ]; then
        python3 -m venv "$build/python"
        "$build/python/bin/pip" install -q numpy gguf
    fi
    cmake -S "$llama" -B "$build/llama" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DLLAMA_BUILD_COMMON=OFF \
        -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF -DGGML_OPENMP=OFF \
        -DGGML_LLAMAFILE=OFF --log-level=WARNING >/dev/null
    compile "$build/llama" llama
    program "$build/llama" "$here/tests/peers/llama_logits.c" "$build/llama_logits"
    ;;
bench)
    configure_native
    compile "$build/bench" llama-bench llama-quantize llama-perplexity llama-tokenize
    program "$build/bench" "$here/bench/llama.c" "$build/llama_session" -fopenmp
    ;;
server)
    configure_native
    compile "$build/bench" llama-server llama-quantize
    ;;
*)
    echo "peers.sh BUILD [logits|bench|server]" >&2
    exit 2
    ;;
esac
