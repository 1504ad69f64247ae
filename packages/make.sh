#!/usr/bin/env bash
# Makes the packages of the program kwik, and tests what can be tested here: a Debian package and a tar archive, with completions,
# manual page and systemd unit. Needs what a release build needs, dpkg-deb, and for the tests man or groff and systemd-analyze; a test
# whose tool is missing says that it was skipped.
#
# usage: make.sh [DIRECTORY]      where they go, by default target/packages
#
# KWIK_BIN=FILE takes that program instead of building one.
set -euo pipefail
cd "$(dirname "$0")/.."

out=${1:-target/packages}
mkdir -p "$out"
out=$(realpath "$out")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
skipped=()

stage() { printf '\n== %s\n' "$*"; }
has() { command -v "$1" >/dev/null; }
skip() { skipped+=("$*"); echo "SKIPPED: $*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }
# Whether what a command prints has that text in it.
prints() {
  local text=$1 output
  shift
  output=$("$@") && [[ $output == *"$text"* ]]
}

stage "program"
if [ -n "${KWIK_BIN:-}" ]; then
  program=$KWIK_BIN
else
  cargo build --release --locked -p kwik-cli
  program=${CARGO_TARGET_DIR:-target}/release/kwik
fi
version=$("$program" --version | cut -d' ' -f2)
arch=$(dpkg --print-architecture)
ls -l "$program" | awk '{ printf "%.1f MB\n", $5 / 1e6 }'

stage "tree"
tree=$work/tree
put() { install -D -m "$1" "$2" "$tree/$3"; }
put 755 "$program" usr/bin/kwik
kwik=$tree/usr/bin/kwik
mkdir -p "$work/made"
for shell in bash zsh fish; do "$kwik" completions $shell >"$work/made/$shell"; done
"$kwik" man >"$work/made/kwik.1"
gzip -9n "$work/made/kwik.1"
gzip -9n <CHANGELOG.md >"$work/made/changelog.gz"
cat LICENSE-APACHE LICENSE-MIT >"$work/made/copyright"
put 644 "$work/made/bash" usr/share/bash-completion/completions/kwik
put 644 "$work/made/zsh" usr/share/zsh/vendor-completions/_kwik
put 644 "$work/made/fish" usr/share/fish/vendor_completions.d/kwik.fish
put 644 "$work/made/kwik.1.gz" usr/share/man/man1/kwik.1.gz
put 644 "$work/made/changelog.gz" usr/share/doc/kwik/changelog.gz
put 644 "$work/made/copyright" usr/share/doc/kwik/copyright
put 644 README.md usr/share/doc/kwik/README.md
put 644 packages/kwik.service lib/systemd/system/kwik.service
put 644 packages/sysusers.conf usr/lib/sysusers.d/kwik.conf

stage "tar archive"
archive=$out/kwik-$version-$arch.tar.gz
tar -C "$tree" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf - . | gzip -9n >"$archive"

stage "Debian package"
package=$out/kwik_${version}_$arch.deb
needs="libc6, libgcc-s1"
if has dpkg-shlibdeps; then
  mkdir -p "$work/shlibs/debian"
  printf 'Source: kwik\n\nPackage: kwik\nArchitecture: any\n' >"$work/shlibs/debian/control"
  needs=$(cd "$work/shlibs" && dpkg-shlibdeps -O "$kwik" 2>/dev/null | sed 's/^shlibs:Depends=//')
fi
deb=$work/deb
cp -a "$tree" "$deb"
mkdir "$deb/DEBIAN"
install -m 755 packages/postinst packages/postrm "$deb/DEBIAN/"
cat >"$deb/DEBIAN/control" <<CONTROL
Package: kwik
Version: $version
Architecture: $arch
Maintainer: The KWIK authors <kwik@localhost>
Installed-Size: $(du -sk "$tree" | cut -f1)
Depends: $needs
Recommends: ca-certificates
Section: net
Priority: optional
Description: fetch one stream of a file from several servers at once
 Serves files, fetches them over QUIC from a primary server and the secondaries
 that it orders to send parts of them, and checks them against their hash.
CONTROL
dpkg-deb --root-owner-group --build "$deb" "$package" >/dev/null
ls -l "$archive" "$package" | awk '{ printf "%.1f MB  %s\n", $5 / 1e6, $NF }'

stage "test: what is in them"
root=$work/root
mkdir "$root"
dpkg -x "$package" "$root"
mkdir "$work/untarred"
tar -C "$work/untarred" -xzf "$archive"
diff -r "$root" "$work/untarred" || fail "package and archive differ"
[ "$(dpkg-deb --field "$package" Package Version | tr '\n' ' ')" = "Package: kwik Version: $version " ] || fail "the control file"
dpkg-deb --contents "$package" | awk '$2 != "root/root" { print; bad = 1 } END { exit bad }' || fail "owners"

stage "test: the program, with nothing of this machine's but its libraries"
home=$work/home
mkdir "$home"
run() { (cd "$home" && env -i HOME="$home" PATH="$root/usr/bin:/usr/bin:/bin" TMPDIR="$home" "$@"); }
[ "$(run kwik --version)" = "kwik $version" ] || fail "the version"
prints '"bytes":8388608' run kwik demo --size 8MiB --secondaries 2 --json || fail "the demo"
prints '"status":0' run kwik doctor --listen 127.0.0.1:0 --json || fail "the doctor"

stage "test: completions"
run bash -c ". $root/usr/share/bash-completion/completions/kwik && complete -p kwik" >/dev/null || fail "bash"
for shell in zsh fish; do
  file=$root/usr/share/zsh/vendor-completions/_kwik
  [ $shell = zsh ] || file=$root/usr/share/fish/vendor_completions.d/kwik.fish
  if has $shell; then $shell -n "$file" || fail "$shell"; else skip "completions of $shell: there is no $shell"; fi
done

stage "test: manual page"
if has groff; then
  zcat "$root/usr/share/man/man1/kwik.1.gz" >"$work/kwik.1"
  groff -man -Tutf8 -ww "$work/kwik.1" 2>"$work/man.err" >"$work/man.txt"
  grep -q "kwik-get" "$work/man.txt" || fail "the manual page has no commands"
else
  skip "manual page: there is no groff"
fi

stage "test: systemd unit"
if has systemd-analyze; then
  # The unit names the program where it will be.
  sed "s,/usr/bin/kwik,$root/usr/bin/kwik,; /^Documentation=/d" "$root/lib/systemd/system/kwik.service" >"$work/kwik.service"
  systemd-analyze verify --man=no "$work/kwik.service" 2>"$work/unit.err" || true
  if grep -F kwik.service "$work/unit.err"; then fail "the unit"; fi
  systemd-analyze security --offline=true --threshold=20 "$work/kwik.service" | tail -1
else
  skip "systemd unit: there is no systemd-analyze"
fi

stage "test: what systemd is told"
if has python3; then
  python3 packages/notified.py "$root/usr/bin/kwik" || fail "notifications"
else
  skip "notifications: there is no python3"
fi

stage "test: installation in a clean root"
if [ "$(id -u)" = 0 ] && has debootstrap && debootstrap --variant=minbase bookworm "$work/clean" >"$work/debootstrap.log" 2>&1; then
  cp "$package" "$work/clean/kwik.deb"
  chroot "$work/clean" dpkg -i /kwik.deb
  prints '"bytes":8388608' chroot "$work/clean" kwik demo --size 8MiB --json || fail "the demo"
  chroot "$work/clean" getent passwd kwik >/dev/null || fail "the user"
  chroot "$work/clean" dpkg --purge kwik
else
  skip "installation in a clean root: this needs root, debootstrap and Debian's archive; it was unpacked with dpkg -x"
fi

stage "test: container"
tool=$(for tool in podman docker; do if has $tool && $tool info >/dev/null 2>&1; then echo $tool; break; fi; done)
if [ -n "$tool" ] && [ -z "${KWIK_BIN:-}" ]; then
  if $tool build -f packages/Containerfile -t kwik-package-test . >"$work/container.log" 2>&1; then
    prints '"bytes":8388608' $tool run --rm kwik-package-test demo --size 8MiB --json || fail "the demo in a container"
  else
    tail -3 "$work/container.log"
    skip "container: the image was not built"
  fi
else
  skip "container: there is no podman or docker that works, or the program was given"
fi

stage "made"
printf '%s\n' "$package" "$archive"
for what in "${skipped[@]}"; do echo "skipped: $what"; done
