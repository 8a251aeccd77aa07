#!/bin/bash
# Runs the tests of real clients with the clients of Debian sid, in a chroot: `make test-modern`.
#
#   tests/modern/run.sh              the unit tests, then the integration tests that are marked `modern`
#   tests/modern/run.sh COMMAND …    any command there, in the checkout; `bash` for a look around
#
# It needs root, debootstrap, util-linux and iproute2. The chroot is kept in PULLBENCH_MODERN (default
# /var/cache/pullbench) and used again for 14 days. Where sid cannot be installed, trixie takes its place, and the
# output names the packages that failed. Mounts, processes and the network end with the command: all are in
# namespaces of their own, and the network has no route to the outside.
set -euo pipefail

checkout=$(cd "$(dirname "$0")/../.." && pwd)
kept=${PULLBENCH_MODERN:-/var/cache/pullbench}
days=14
images=${PULLBENCH_TEST_CACHE:-$HOME/.cache/pullbench-tests}
packages=(ca-certificates curl git iproute2 iptables make procps python3 python3-venv zstd
  docker.io docker-cli docker-buildx docker-compose containerd podman buildah skopeo crun runc netavark fuse-overlayfs
  docker-registry crane oras umoci debootstrap nginx-light squid)
programs=(dockerd docker containerd ctr podman skopeo crane docker-registry python3)

say() { echo "modern: $*" >&2; }

# Everything below a root that the packages and the tests need. Called in a mount and pid namespace of its own.
mount_system() {
  local root=$1
  mount --rbind "$root" "$root" # overlay2 and containerd want a mount at /
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  mount -t tmpfs tmpfs "$root/dev/shm"
  mountpoint --quiet "$root/sys" || mount -t sysfs sysfs "$root/sys"
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
  mount -t tmpfs tmpfs "$root/run"
}

in_namespaces() { unshare --mount --propagation private --pid --fork --kill-child "$@"; }

chroot_shell() {
  local root=$1
  shift
  chroot "$root" /usr/bin/env --ignore-environment HOME=/root LANG=C.UTF-8 TERM=xterm DEBIAN_FRONTEND=noninteractive \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

# debootstrap and apt; the mirror and its options are those of the machine's own apt.
build() {
  local suite=$1 root=$2 mirror log=$2.log
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | head -1)
  rm --recursive --force --one-file-system "$root"
  say "installing $suite (some minutes, once in $days days; log: $log)"
  if ! debootstrap --variant=minbase "$suite" "$root" "$mirror" >"$log" 2>&1; then
    say "$suite: debootstrap failed: $(tail -1 "$log")"
    return 1
  fi
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
  chmod +x "$root/usr/sbin/policy-rc.d"
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  cp --no-clobber /etc/apt/apt.conf.d/* "$root/etc/apt/apt.conf.d/" 2>/dev/null || true
  if ! in_namespaces bash "$0" --install "$root" >>"$log" 2>&1; then
    say "$suite cannot be installed:"
    grep --extended-regexp '^(E:|dpkg: error| .* : (Depends|Breaks|Conflicts):)|is not installable' "$log" | head -10 >&2 || tail -5 "$log" >&2
    return 1
  fi
  in_namespaces bash "$0" --works "$root" || return 1
  echo "${packages[*]}" >"$root/.pullbench-packages"
}

install_packages() {
  local root=$1
  mount_system "$root"
  chroot_shell "$root" apt-get update --quiet=2
  # An older suite lacks some: the tests leave out what .pullbench-lacking names.
  local package there=()
  : >"$root/.pullbench-lacking"
  for package in "${packages[@]}"; do
    if chroot_shell "$root" apt-cache show "$package" >/dev/null 2>&1; then
      there+=("$package")
    else
      echo "$package" >>"$root/.pullbench-lacking"
    fi
  done
  chroot_shell "$root" apt-get install --quiet=2 --yes --no-install-recommends "${there[@]}"
  chroot_shell "$root" apt-get clean
}

# Called as `install_packages`: podman reads its command line from /proc.
works() {
  local root=$1 program
  mount_system "$root"
  for program in "${programs[@]}"; do
    grep --quiet --line-regexp "$program" "$root/.pullbench-lacking" && continue
    if ! chroot_shell "$root" "$program" --version >/dev/null 2>"$root.broken" && ! chroot_shell "$root" "$program" version >/dev/null 2>&1; then
      say "$program of ${root##*/} does not start: $(tail -1 "$root.broken")"
      return 1
    fi
  done
}

fresh() {
  local root=$1
  [[ -e $root/.pullbench-lacking && $(cat "$root/.pullbench-packages" 2>/dev/null) == "${packages[*]}" && -n $(find "$root/.pullbench-packages" -mtime "-$days") ]]
}

# The root of the first suite that can be used.
root_of_clients() {
  local suite
  for suite in sid trixie; do
    if fresh "$kept/$suite" || build "$suite" "$kept/$suite"; then
      echo "$kept/$suite"
      return
    fi
    say "going on without $suite"
  done
  return 1
}

# The project's dependencies for that Python; the network is the machine's, for pip alone.
install_python() {
  local root=$1 lock variable through=()
  mount_system "$root"
  bind_checkout "$root"
  for variable in $(compgen -e | grep --ignore-case --extended-regexp '^(PIP_.*|.*_PROXY)$' || true); do
    case $variable in PIP_CERT | PIP_FIND_LINKS) ;; *) through+=("$variable=${!variable}") ;; esac
  done
  # The machine's roots may have more than Debian's: an index with a certificate of its own.
  cp "${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}" "$root/etc/ssl/certs/machine.crt"
  chroot_shell "$root" "${through[@]}" PIP_CERT=/etc/ssl/certs/machine.crt bash -euc '
    test -x /opt/venv/bin/python || python3 -m venv /opt/venv
    pip="/opt/venv/bin/python -m pip --quiet --disable-pip-version-check"
    $pip install --requirement /src/requirements.lock
    $pip install --no-deps --no-build-isolation --editable /src'
}

bind_checkout() {
  mkdir -p "$1/src"
  mount --bind "$checkout" "$1/src"
}

# In namespaces that have no network but their own loopback, with an address that clients do not take for this machine.
enter() {
  local root=$1
  shift
  mount_system "$root"
  bind_checkout "$root"
  mount --bind "$(mktemp --directory "$root/var/tmp/work-XXXXXX")" "$root/tmp"
  chmod 1777 "$root/tmp"
  # The Debian image that tests push, which this network could not download.
  mkdir -p "$root/root/.cache/pullbench-tests" "$images"
  mount --bind "$images" "$root/root/.cache/pullbench-tests"
  ip link set lo up
  ip addr add 10.231.7.1/32 dev lo
  cd "$root"
  chroot_shell "$root" PULLBENCH_MODERN=1 PULLBENCH_LACKING="$(tr '\n' ' ' <"$root/.pullbench-lacking")" PULLBENCH_REQUIRE_REAL="${PULLBENCH_REQUIRE_REAL:-}" ${CI:+CI=$CI} \
    PULLBENCH_CLIENT_RECORD=/src/build/clients/modern.json PYTHONDONTWRITEBYTECODE=1 PATH=/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    bash -c 'cd /src && exec "$@"' bash "$@"
}

case ${1:-} in
  --install) install_packages "$2"; exit ;;
  --works) works "$2"; exit ;;
  --python) install_python "$2"; exit ;;
  --enter) enter "${@:2}"; exit ;;
esac

[[ $(id -u) == 0 ]] || { say "only root can make a chroot: run it as root"; exit 2; }
mkdir -p "$kept"
exec 9>"$kept/lock"
flock 9
root=$(root_of_clients) || { say "neither sid nor trixie can be installed"; exit 1; }
state=$(sha256sum <"$checkout/requirements.lock")
if [[ $(cat "$root/.pullbench-python" 2>/dev/null) != "$state" ]]; then
  say "installing the project for the Python of ${root##*/}"
  in_namespaces bash "$0" --python "$root"
  echo "$state" >"$root/.pullbench-python"
fi
trap 'rm --recursive --force --one-file-system "$root"/var/tmp/work-*' EXIT
if (($# > 0)); then
  in_namespaces --net bash "$0" --enter "$root" "$@"
else
  say "the tests with the clients of ${root##*/}"
  [[ ! -s $root/.pullbench-lacking ]] || say "without $(tr '\n' ' ' <"$root/.pullbench-lacking"), which ${root##*/} does not have"
  in_namespaces --net bash "$0" --enter "$root" bash -euc '
    python -m pytest -p no:cacheprovider --ignore tests/integration --numprocesses auto --dist worksteal
    python -m pytest -p no:cacheprovider tests/integration -m modern --numprocesses 2 --dist loadfile'
fi
