#!/bin/sh
# SPDX-License-Identifier: MIT
# deb.sh make|test [FOLDER]: the Debian package, FOLDER/*.deb. `test` installs it into a bare Debian 12 of its own, made with
# debootstrap in FOLDER (root, network), and uses what is there: first with nothing else installed, then with a compiler.
set -eu

cd "$(dirname "$0")/.."
what=$1
mkdir -p "${2:-build-deb}"
out=$(cd "${2:-build-deb}" && pwd)
room=$out/room

fail()
{
    echo "deb: $*" >&2
    exit 1
}

make_package()
{
    for tool in dpkg-shlibdeps file; do
        command -v "$tool" >/dev/null 2>&1 || fail "needs $tool (Debian: dpkg-dev file)"
    done
    generator=$([ -e "$out/CMakeCache.txt" ] || ! command -v ninja >/dev/null 2>&1 || echo -GNinja)
    # shellcheck disable=SC2086 # no word where there is no ninja
    cmake -S . -B "$out" $generator -DCMAKE_INSTALL_PREFIX=/usr -DTARE_TESTS="${TARE_TESTS:-OFF}" --log-level=WARNING
    cmake --build "$out" >"$out/log" || { tail -n 30 "$out/log"; fail "it does not build"; }
    rm -f "$out"/*.deb
    (cd "$out" && cpack >log 2>&1) || { tail -n 30 "$out/log"; fail "cpack makes no package"; }
    dpkg-deb --info "$out"/*.deb | grep -E '^ (Package|Version|Depends|Architecture)'
}

inside()
{
    chroot "$room" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive sh -euc "$1"
}

# A fresh copy of a bare system, which is made once.
make_room()
{
    [ "$(id -u)" = 0 ] || fail "test needs root, for chroot"
    command -v debootstrap >/dev/null 2>&1 || fail "test needs debootstrap (Debian: debootstrap)"
    [ -e "$out/bare/etc/debian_version" ] ||
        debootstrap --variant=minbase bookworm "$out/bare" >"$out/log" 2>&1 || { tail -n 5 "$out/log"; fail "debootstrap fails"; }
    rm -rf "$room"
    cp -a --reflink=auto "$out/bare/." "$room"
    cp /etc/resolv.conf "$room/etc/resolv.conf"
    mkdir "$room/work"
    cp "$out"/*.deb "$room/work"
    cp -r models/fable tests/build/shown "$room/work"
}

case $what in
make)
    make_package
    ;;
test)
    make_package
    make_room
    # man pages and documents, which minimal images of Debian may leave out, are part of what is tested
    inside 'rm -f /etc/dpkg/dpkg.cfg.d/*; cd /work; apt-get -qq update; apt-get -qq -y --no-install-recommends install ./*.deb >/dev/null 2>&1'
    echo "== a bare Debian 12 with the package"
    inside 'tare --version; cd /work; tare check fable; tare check; tare verify fable; tare run --temp 0 --max-tokens 12 </dev/null; echo
        tare convert fable -o out >/dev/null; tare check out >/dev/null
        for file in README.md LICENSE docs/errors.md examples/plan.c; do ls /usr/share/doc/tare/$file; done
        ls /usr/share/bash-completion/completions/tare /usr/share/zsh/site-functions/_tare /usr/share/fish/vendor_completions.d/tare.fish
        case $(ldd /usr/bin/tare /usr/lib/*/libtare.so) in *"not found"*) echo "a library is missing"; exit 1 ;; esac'
    echo "== as a user, as in the image of the Dockerfile"
    inside 'useradd --create-home --uid 1000 tare'
    chroot --userspec=tare "$room" env -i PATH=/usr/bin HOME=/home/tare tare run --temp 0 --max-tokens 12 </dev/null
    echo
    echo "== man"
    inside 'apt-get -qq -y --no-install-recommends install man-db >/dev/null 2>&1; man -w tare tare-convert; man tare | head -n 1'
    echo "== completion in bash"
    inside 'apt-get -qq -y --no-install-recommends install bash-completion >/dev/null 2>&1
        bash -c ". /usr/share/bash-completion/bash_completion; __load_completion tare; complete -p tare"'
    echo "== a compiler, pkg-config and CMake, and none of the libraries that tare uses"
    inside 'apt-get -qq -y --no-install-recommends install gcc libc6-dev pkg-config cmake make >/dev/null 2>&1; cd /work
        cc shown/shown.c $(pkg-config --cflags --libs tare) -o by-pkg-config; ./by-pkg-config fable
        cmake -S shown -B by-cmake >/dev/null; cmake --build by-cmake >/dev/null; by-cmake/shown fable
        [ ! -e by-cmake/shown_static ]'
    echo "== the static library, with what the package suggests"
    inside 'apt-get -qq -y --no-install-recommends install libjansson-dev libyajl-dev libpcre2-dev libutf8proc-dev libssl-dev >/dev/null 2>&1
        cd /work; cc -static shown/shown.c $(pkg-config --static --cflags --libs tare) -o static 2>/dev/null; ./static fable
        cmake -S shown -B by-cmake >/dev/null; cmake --build by-cmake >/dev/null; by-cmake/shown_static fable'
    echo "== removed again"
    inside 'apt-get -qq -y remove tare >/dev/null 2>&1; ! command -v tare; ! ls /usr/include/tare.h 2>/dev/null'
    rm -rf "$room"
    echo "test-deb: passed"
    ;;
*)
    echo "usage: tools/deb.sh make|test [FOLDER]" >&2
    exit 2
    ;;
esac
