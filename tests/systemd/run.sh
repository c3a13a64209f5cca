#!/usr/bin/env bash
# The service on a real systemd, in a virtual machine of its own: install, doctor, start, connect, look, reload,
# restart under a trickle of new clients, watchdog, stop, and what systemd-analyze says of the units.
#
#   tests/systemd/run.sh [BINARY]        default: target/release/ringwire, built if it is not there
#   tests/systemd/run.sh PACKAGE.deb     the same with what packaging/deb.sh has made, installed and removed by dpkg
#
# Needs root and Debian's qemu-system-x86, debootstrap and e2fsprogs. The first run makes a root file system
# (about 400 MB, three minutes) in tests/systemd/.work; later ones take about two minutes, because
# the machine is emulated (QEMU's TCG): it shows behaviour, not speed. What happens inside is in
# inside.sh. Exit status 0 when all of it passed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

here=tests/systemd
work=$here/.work
release=bookworm
memory_mib=${RINGWIRE_VM_MEMORY_MIB:-2048}
limit_s=${RINGWIRE_VM_LIMIT_S:-900}
trickle_per_s=${RINGWIRE_VM_TRICKLE_PER_S:-20}
packages=systemd,systemd-sysv,dbus,kmod,iproute2,procps,curl,python3,python3-websockets,linux-image-cloud-amd64

die() {
  echo "run.sh: $*" >&2
  exit 1
}

[ "$(id -u)" = 0 ] || die "has to run as root: the file system belongs to several users"
for tool in qemu-system-x86_64 debootstrap mkfs.ext4; do
  command -v "$tool" >/dev/null || die "$tool is missing: apt-get install qemu-system-x86 debootstrap e2fsprogs"
done

binary=${1:-${CARGO_TARGET_DIR:-target}/release/ringwire} package=
if [[ $binary == *.deb ]]; then
  [ -f "$binary" ] || die "there is no $binary"
  package=$binary
else
  [ -x "$binary" ] || cargo build --locked --release
  [ -x "$binary" ] || die "there is no $binary"
fi

mkdir -p "$work"
if [ ! -e "$work/base.done" ]; then
  echo "run.sh: making the root file system"
  rm -rf "$work/base"
  debootstrap --variant=minbase --include="$packages" "$release" "$work/base" >"$work/debootstrap.log" 2>&1 ||
    die "debootstrap failed: $work/debootstrap.log"
  rm -rf "$work/base/var/cache/apt/archives"
  touch "$work/base.done"
fi

root=$work/root
rm -rf "$root"
cp -a "$work/base" "$root"
install -D -t "$root/opt/ringwire" "$here/inside.sh" "$here/trickle.py" "$here/client.py"
echo "$trickle_per_s" >"$root/opt/ringwire/trickle_per_s"
if [ -n "$package" ]; then
  install -m 644 "$package" "$root/opt/ringwire/ringwire.deb"
else
  install "$binary" "$root/opt/ringwire/ringwire"
  install -m 644 -t "$root/opt/ringwire" systemd/ringwire.{service,socket,sysusers,tmpfiles} \
    sysctl/60-ringwire.conf
fi
cat >"$root/etc/systemd/system/trial.service" <<'UNIT'
[Unit]
Description=The trial
After=multi-user.target

[Service]
Type=oneshot
ExecStart=/bin/bash /opt/ringwire/inside.sh
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
ExecStopPost=/bin/systemctl poweroff --force
UNIT
mkdir -p "$root/etc/systemd/system/default.target.wants"
ln -sf /etc/systemd/system/trial.service "$root/etc/systemd/system/default.target.wants/trial.service"
# Nobody logs in.
ln -sf /dev/null "$root/etc/systemd/system/serial-getty@ttyS0.service"

truncate -s 2G "$work/disk.img"
mkfs.ext4 -q -F -d "$root" "$work/disk.img"
rm -rf "$root"

echo "run.sh: starting the machine"
kernel=$(ls "$work"/base/boot/vmlinuz-* | tail -n 1)
initrd=$(ls "$work"/base/boot/initrd.img-* | tail -n 1)
timeout --foreground --kill-after=10 "$limit_s" qemu-system-x86_64 -accel tcg,thread=multi -cpu max \
  -m "$memory_mib" -smp 2 -nographic -no-reboot -kernel "$kernel" -initrd "$initrd" \
  -append "console=ttyS0 root=/dev/vda rw quiet systemd.show_status=0" \
  -drive "file=$work/disk.img,format=raw,if=virtio" </dev/null 2>&1 |
  tr -d '\r' | tee "$work/console.log" | grep --line-buffered '^trial: ' || true
rm -f "$work/disk.img"

grep -q '^trial: all passed$' "$work/console.log" || die "not all passed; the whole console is in $work/console.log"
