# Sourced by the scripts and tests: where things are.
MESH_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# Unpacked packages that must not be installed, because installing them would start a service.
MESH_TOOLS=/var/cache/meshd-dev
MESH_DOCKER=$MESH_TOOLS/docker.io/usr/bin/docker                      # the docker CLI, without the daemon
MESH_REGISTRY=$MESH_TOOLS/docker-registry/usr/bin/docker-registry    # a registry that speaks the distribution API
MESH_NGINX=$MESH_TOOLS/nginx/usr/sbin/nginx                          # for the example images
MESH_NGINX_CONF=$MESH_TOOLS/nginx-common/etc/nginx                   # mime.types and friends
MESH_HAPROXY=$MESH_TOOLS/haproxy                                     # a peer of scripts/bench, with its libraries
MESH_KERNELS=$MESH_TOOLS/kernels                                     # scripts/test-kernels: kernels and root image

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# wait_until SECONDS COMMAND…: until it succeeds; fails when the time is up.
wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || return 1
    sleep 0.1
  done
}

# Fails with the command to type when not run as root. $1: why.
need_root() {
  [ "$(id -u)" = 0 ] || die "$1 needs root: run  sudo $0"
}
