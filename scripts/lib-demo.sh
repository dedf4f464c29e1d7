# shellcheck shell=bash disable=SC2154
# What the demos share; $top is the project's directory.
#
#   step TEXT       a heading
#   demo_build      packages and build, in build/demo: sets $builddir

step() {
    printf '\n\033[1m== %s\033[0m\n' "$*"
}

demo_build() {
    step "packages (scripts/install-deps)"
    "$top/scripts/install-deps"
    builddir=$top/build/demo
    step "build (build/demo)"
    mkdir -p "$builddir"
    (
        cd "$top"
        [ -x configure ] || ./autogen.sh
        cd "$builddir"
        [ -f Makefile ] || "$top/configure" --prefix=/usr --sysconfdir=/etc --localstatedir=/var
        make -j"$(nproc)"
        make -j"$(nproc)" check TESTS=
    ) >"$builddir/demo.log" 2>&1 || {
        tail -n 40 "$builddir/demo.log"
        exit 1
    }
}
