#!/bin/sh
# Installs what is missing for the named parts: demo (building and the demo), test, bench, fuzz. A part that is there already
# costs a look at its stamp. What cannot be installed here is named, with the way to get it, all at once.
set -eu

here="$(cd "$(dirname "$0")/.." && pwd)"
cache="${WEIR_CACHE:-$HOME/.cache/weir}"
kafka_version=4.3.1
older_broker_version=3.9.1
older_client_version=2.8.2
keycloak_version=26.7.3
cargo_fuzz_version=0.13.2

missing=""
packages=""

say() { printf '%s\n' "setup: $*" >&2; }

lack() { missing="$missing
  - $1"; }

# Remembers an apt package to install, and what to tell people for whom apt is not the way.
want() { packages="$packages $1"; }

has() { command -v "$1" >/dev/null 2>&1; }

# `major_at_least 17 VERSION-TEXT`
major_at_least() {
    major="$(printf '%s' "$2" | sed -n 's/^[^0-9]*\([0-9][0-9]*\).*/\1/p' | head -n 1)"
    [ "${major:-0}" -ge "$1" ]
}

# The library with a C interface; `libclang-cpp` alone is not it.
has_libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] && return 0
    for found in /usr/lib/llvm-*/lib/libclang[.-][0-9s]* /usr/lib*/libclang[.-][0-9s]* /usr/lib/*/libclang[.-][0-9s]*; do
        [ -e "$found" ] && return 0
    done
    return 1
}

has_nss_wrapper() {
    for found in /usr/lib*/libnss_wrapper.so /usr/lib/*/libnss_wrapper.so; do
        [ -e "$found" ] && return 0
    done
    return 1
}

has_jdk() { has java && has javac && major_at_least 17 "$(java -version 2>&1 | sed -n 's/.*version "\([^"]*\)".*/\1/p')"; }

has_rust() { has cargo && cargo_minor="$(cargo --version | sed -n 's/^cargo 1\.\([0-9]*\).*/\1/p')" && [ "${cargo_minor:-0}" -ge 95 ]; }

has_go() {
    has go || return 1
    go_minor="$(go env GOVERSION | sed -n 's/^go1\.\([0-9]*\).*/\1/p')"
    [ "${go_minor:-0}" -ge "$(sed -n 's/^go 1\.\([0-9]*\).*/\1/p' "$here/tests/clients/go.mod")" ]
}

has_node() { has node && has npm && major_at_least 18 "$(node --version)"; }

has_venv() { has python3 && python3 -c 'import ensurepip, venv' 2>/dev/null; }

# Every tool that is needed and not there: an apt package where one does, else a line of what to do.
look_for_tools() {
    has_rust || lack "Rust 1.95 or newer: https://rustup.rs, then \`rustup update stable\`"
    has cc && has c++ || want "gcc g++"
    has make || want make
    has setpriv || want util-linux
    has_libclang || want libclang-dev
    has_jdk || want openjdk-17-jdk-headless
    has mvn || want maven
    for part in "$@"; do
        case "$part" in
        test)
            { cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1 ||
                lack "rustfmt and clippy: \`rustup component add rustfmt clippy\`"
            has_venv || want "python3 python3-venv"
            has strace || want strace
            has tshark || want tshark
            has kcat || want kcat
            has_node || want "nodejs npm"
            has chromium || want chromium
            has_nss_wrapper || want libnss-wrapper
            has_go || lack "Go 1.26 or newer (Debian's own is older): https://go.dev/dl"
            ;;
        bench) has haproxy || want haproxy ;;
        fuzz)
            cargo +nightly --version >/dev/null 2>&1 || lack "a nightly Rust: \`rustup toolchain install nightly\`"
            ;;
        esac
    done
}

install_packages() {
    as_root=""
    if [ "$(id -u)" -ne 0 ]; then
        if has sudo && sudo -n true 2>/dev/null; then as_root="sudo -n"; else as_root=none; fi
    fi
    if ! has apt-get || [ "$as_root" = none ]; then
        lack "these packages, by their Debian names:$packages (as root: apt-get install$packages)"
        return 0
    fi
    say "installing$packages"
    export DEBIAN_FRONTEND=noninteractive
    $as_root apt-get update -qq >&2 </dev/null || say "apt-get update failed, trying with what apt knows"
    # Releases after Debian 12 have a newer JDK only, which does as well.
    apt-cache show openjdk-17-jdk-headless >/dev/null 2>&1 ||
        packages="$(printf '%s' "$packages" | sed 's/openjdk-17-jdk/default-jdk/')"
    # shellcheck disable=SC2086 # both are lists of words
    $as_root apt-get install -y -qq --no-install-recommends $packages >&2 </dev/null || true

    missing=""
    packages=""
    look_for_tools "$@"
    [ -z "$packages" ] || lack "these packages, still missing or too old after apt-get install:$packages"
}

# What a stamp holds: the sum of the files that decide what is installed.
sum_of() { cat "$@" | cksum; }

# `stamped NAME SUM COMMAND`: runs the command unless it succeeded before with the same sum.
stamped() {
    stamp="$cache/stamps/$1"
    [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$2" ] && return 0
    say "$1 (once)"
    if "$3" >&2 </dev/null; then
        mkdir -p "$cache/stamps"
        printf '%s\n' "$2" >"$stamp"
    else
        lack "$1: the command above failed; it needs the network (Maven Central, PyPI, npm or the Go proxy)"
    fi
}

# `copy_kafka VERSION PROFILE`. Copied beside and moved into place: a copy cut short never looks whole.
copy_kafka() {
    libs="$cache/kafka/$1/libs"
    rm -rf "$libs.new" && mkdir -p "$libs.new" || return 1
    mvn -q -B -Dstyle.color=never -f "$here/tests/kafka/pom.xml" -P "$2" "-Dkafka.version=$1" \
        dependency:copy-dependencies -DincludeScope=runtime "-DoutputDirectory=$libs.new" || return 1
    rm -rf "$libs" && mv "$libs.new" "$libs"
}

fetch_kafka() { copy_kafka "$kafka_version" current; }
fetch_older_broker() { copy_kafka "$older_broker_version" older; }
fetch_older_client() { copy_kafka "$older_client_version" older; }

# Built for a database in memory, so that a start takes seconds. The build writes into the distribution, hence its place.
fetch_keycloak() {
    home="$cache/keycloak/$keycloak_version"
    rm -rf "$home" "$home.new" && mkdir -p "$home.new" || return 1
    mvn -q -B -Dstyle.color=never org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy \
        "-Dartifact=org.keycloak:keycloak-quarkus-dist:$keycloak_version:tar.gz" "-DoutputDirectory=$home.new" || return 1
    tar -xzf "$home.new/keycloak-quarkus-dist-$keycloak_version.tar.gz" -C "$home.new" || return 1
    mv "$home.new/keycloak-$keycloak_version" "$home" && rm -r "$home.new" || return 1
    JAVA_OPTS_KC_HEAP="-Xms64m -Xmx512m" "$home/bin/kc.sh" build --db=dev-mem >"$home.log" 2>&1 || {
        cat "$home.log"
        return 1
    }
}

# One environment for all of them: none needs another version of what they share.
make_venv() {
    python3 -m venv --clear "$cache/venv" &&
        "$cache/venv/bin/pip" install -q --no-input --disable-pip-version-check \
            -r "$here/tests/clients/confluent-kafka/requirements.txt" \
            -r "$here/tests/clients/kafka-python/requirements.txt" \
            -r "$here/tests/clients/aiokafka/requirements.txt"
}

# An environment of its own: it brings a test runner along, which the clients do not need.
make_schemathesis() {
    python3 -m venv --clear "$cache/schemathesis" &&
        "$cache/schemathesis/bin/pip" install -q --no-input --disable-pip-version-check \
            -r "$here/tests/api/requirements.txt"
}

install_cargo_fuzz() { cargo install --quiet --locked --root "$cache" "cargo-fuzz@$cargo_fuzz_version"; }

build_go_clients() {
    mkdir -p "$cache/clients" &&
        (cd "$here/tests/clients" && go build -o "$cache/clients/" ./franz-go ./sarama ./kafka-go &&
            go build -o "$cache/clients/franz-go-stream" ./franz-go/stream)
}

# `node_modules NAME`. Node looks for modules beside the program; these are for all checkouts, and found by NODE_PATH.
node_modules() {
    rm -rf "${cache:?}/$1" && mkdir -p "$cache/$1" &&
        cp "$here/tests/clients/$1/package.json" "$here/tests/clients/$1/package-lock.json" "$cache/$1" &&
        (cd "$cache/$1" && npm ci --silent --no-audit --no-fund --ignore-scripts)
}

fetch_kafkajs() { node_modules kafkajs; }
fetch_browser_driver() { node_modules browser; }

tell_and_leave() {
    [ -n "$missing" ] || return 0
    say "this is missing and was not installed:$missing"
    exit 1
}

look_for_tools "$@"
[ -z "$packages" ] || install_packages "$@"
tell_and_leave

clients="$here/tests/clients"
stamped "kafka-$kafka_version" "$(sum_of "$here/tests/kafka/pom.xml")" fetch_kafka
for part in "$@"; do
    if [ "$part" = test ]; then
        stamped "kafka-$older_broker_version" "$(sum_of "$here/tests/kafka/pom.xml")" fetch_older_broker
        stamped "kafka-$older_client_version" "$(sum_of "$here/tests/kafka/pom.xml")" fetch_older_client
        stamped "keycloak-$keycloak_version" built fetch_keycloak
        stamped python-clients "$(sum_of "$clients"/*/requirements.txt)" make_venv
        stamped schemathesis "$(sum_of "$here/tests/api/requirements.txt")" make_schemathesis
        stamped go-programs "$(sum_of "$clients"/go.* "$clients"/*/*.go "$clients"/*/*/*.go)" build_go_clients
        stamped node-clients "$(sum_of "$clients/kafkajs/package-lock.json")" fetch_kafkajs
        stamped browser-driver "$(sum_of "$clients/browser/package-lock.json")" fetch_browser_driver
    fi
    if [ "$part" = fuzz ]; then stamped "cargo-fuzz-$cargo_fuzz_version" installed install_cargo_fuzz; fi
done
tell_and_leave
