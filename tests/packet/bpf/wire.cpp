#include "tests/packet/bpf/wire.h"

#include <arpa/inet.h>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdexcept>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>
#include <linux/if.h>

#include "base/address.h"
#include "base/process.h"
#include "tests/packet/bpf/world.h"

namespace mesh::packet {
namespace {

constexpr int kAnswerMs = 2000;

void shell(const std::string& command) {
  const Result<ProcessOutcome> outcome = run_process({.argv = {"sh", "-ec", command}});
  if (!outcome) throw std::runtime_error(outcome.error().message);
  if (outcome->exit_status != 0) throw std::runtime_error(command + ": " + outcome->err);
}

sockaddr_in6 socket_address(const std::string& text, __u16 port) {
  sockaddr_in6 value{};
  const mesh_address parsed = address(text);
  value.sin6_family = AF_INET6;
  value.sin6_port = htons(port);
  std::memcpy(&value.sin6_addr, &parsed, sizeof(parsed));
  return value;
}

std::string text_of(const sockaddr_in6& from) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(AF_INET6, &from.sin6_addr, text.data(), text.size());
  std::string address_text(text.data());
  return address_text.starts_with("::ffff:") ? address_text.substr(7) : address_text;
}

bool readable(int fd, int milliseconds) {
  pollfd entry{fd, POLLIN, 0};
  return poll(&entry, 1, milliseconds) == 1;
}

std::string failed(const char* what) { return fmt::format("error: {}: {}", what, std::strerror(errno)); }

struct Socket {
  explicit Socket(int type) : fd(socket(AF_INET6, type | SOCK_CLOEXEC, 0)) {}
  ~Socket() { close(fd); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int fd;
};

void answer_connection(int fd, const std::string& name, const sockaddr_in6& from) {
  const std::string hello = fmt::format("{} {}\n", name, text_of(from));
  (void)!write(fd, hello.data(), hello.size());
  std::array<char, 65536> buffer{};
  while (readable(fd, 5 * kAnswerMs)) {
    const ssize_t got = read(fd, buffer.data(), buffer.size());
    if (got <= 0) break;
    for (ssize_t sent = 0; sent < got;) {
      const ssize_t step = write(fd, buffer.data() + sent, static_cast<std::size_t>(got - sent));
      if (step <= 0) break;
      sent += step;
    }
  }
  close(fd);
}

std::uint64_t namespace_cookie() {
  std::uint64_t cookie = 0;
  socklen_t size = sizeof(cookie);
  const Socket probe(SOCK_STREAM);
  getsockopt(probe.fd, SOL_SOCKET, 71 /* SO_NETNS_COOKIE */, &cookie, &size);
  return cookie;
}

__u32 index_of(const char* name) { return if_nametoindex(name); }

Mac link_mac(const std::string& name) {
  std::ifstream file("/sys/class/net/" + name + "/address");
  std::string text;
  file >> text;
  return MacAddress::parse(text).value().bytes;
}

std::string cgroup2_mount() {
  std::ifstream mounts("/proc/self/mounts");
  std::string device, where, type, rest;
  while (mounts >> device >> where >> type && std::getline(mounts, rest)) {
    if (type == "cgroup2") return where;
  }
  throw std::runtime_error("no cgroup2 file system is mounted");
}

// A namespace's own /sys is needed to read a link's address there.
std::map<std::string, Mac> macs_in(const std::string& netns, const std::vector<std::string>& names) {
  std::map<std::string, Mac> found;
  inside(netns, [&] {
    unshare(CLONE_NEWNS);
    shell("mount -t sysfs none /sys");
    for (const std::string& name : names) found[name] = link_mac(name);
    return std::string();
  });
  return found;
}

}  // namespace

std::string inside(const std::string& netns, const std::function<std::string()>& body) {
  std::string result;
  std::thread worker([&] {
    const int fd = open(("/run/netns/" + netns).c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) {
      result = failed(netns.c_str());
    } else {
      try {
        result = body();
      } catch (const std::exception& error) {
        result = fmt::format("error: {}", error.what());
      }
    }
    close(fd);
  });
  worker.join();
  return result;
}

std::string ask_tcp(const std::string& target, __u16 port, const std::string& text, __u16 source_port) {
  const Socket client(SOCK_STREAM);
  const int one = 1;
  setsockopt(client.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  const timeval patience{kAnswerMs / 1000, 0};
  setsockopt(client.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  if (source_port != 0) {
    const sockaddr_in6 own = socket_address("::", source_port);
    if (bind(client.fd, reinterpret_cast<const sockaddr*>(&own), sizeof(own)) != 0) return failed("bind");
  }
  const sockaddr_in6 to = socket_address(target, port);
  if (connect(client.fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) return failed("connect");
  std::thread writer([&] {
    for (std::size_t sent = 0; sent < text.size();) {
      const ssize_t step = send(client.fd, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      if (step <= 0) return;
      sent += static_cast<std::size_t>(step);
    }
    shutdown(client.fd, SHUT_WR);
  });
  std::string answer;
  std::array<char, 65536> buffer{};
  while (readable(client.fd, kAnswerMs)) {
    const ssize_t got = read(client.fd, buffer.data(), buffer.size());
    if (got <= 0) break;
    answer.append(buffer.data(), static_cast<std::size_t>(got));
  }
  writer.join();
  if (answer.empty()) return "error: no answer";
  return answer;
}

std::string ask_udp(const std::string& target, __u16 port, const std::string& text, bool connected) {
  const Socket client(SOCK_DGRAM);
  const sockaddr_in6 to = socket_address(target, port);
  const auto* where = reinterpret_cast<const sockaddr*>(&to);
  if (connected && connect(client.fd, where, sizeof(to)) != 0) return failed("connect");
  const ssize_t sent = connected ? send(client.fd, text.data(), text.size(), 0)
                                 : sendto(client.fd, text.data(), text.size(), 0, where, sizeof(to));
  if (sent < 0) return failed("send");
  if (!readable(client.fd, kAnswerMs)) return "error: no answer";
  std::array<char, 4096> buffer{};
  sockaddr_in6 from{};
  socklen_t size = sizeof(from);
  const ssize_t got = recvfrom(client.fd, buffer.data(), buffer.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
  if (got < 0) return failed("receive");
  if (std::memcmp(&from.sin6_addr, &to.sin6_addr, 16) != 0 || from.sin6_port != to.sin6_port) {
    return fmt::format("error: answered by {} port {}", text_of(from), ntohs(from.sin6_port));
  }
  return {buffer.data(), static_cast<std::size_t>(got)};
}

std::string first_line(const std::string& answer) { return answer.substr(0, answer.find('\n')); }

Wire::Wire(WireMode mode) : mode_(mode) {
  build_links();
  cgroup_ = fmt::format("{}/mesh-wire-{}", cgroup2_mount(), getpid());
  std::filesystem::create_directory(cgroup_);
  std::ofstream(cgroup_ + "/cgroup.procs") << getpid();
  for (int number = 1; number <= 3; number++) load_host(number);
  for (const char* name : {"c1", "c2", "c3", "c4"}) serve(name);
}

Wire::~Wire() {
  stop_ = true;
  for (std::thread& server : servers_) server.join();
  hosts_.clear();
  std::ofstream(std::filesystem::path(cgroup_).parent_path() / "cgroup.procs") << getpid();
  rmdir(cgroup_.c_str());
  for (const char* name : {"c1", "c2", "c3", "c4", "h1", "h2", "h3", "client", "switch"}) {
    (void)run_process({.argv = {"ip", "netns", "del", name}});
  }
}

void Wire::build_links() {
  // A real wire has neither partial checksums nor large segments; in tc mode both are to be kept.
  const char* offload = mode_ == WireMode::kXdp ? "off" : "on";
  shell(R"(
    for n in switch client h1 h2 h3 c1 c2 c3 c4; do ip netns add $n; ip -n $n link set lo up; done
    for n in h1 h2 h3; do for s in net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=0 \
      net.ipv4.conf.default.rp_filter=0; do ip netns exec $n sysctl -qw $s; done; done
    ip -n switch link add bridge0 type bridge; ip -n switch link set bridge0 up)");
  const std::vector<std::pair<std::string, int>> ports = {{"h1", 1}, {"h2", 2}, {"h3", 3}, {"client", 9}};
  for (const auto& [name, number] : ports) {
    shell(fmt::format(R"(
      ip -n {0} link add up0 type veth peer name p{1} netns switch
      ip -n {0} addr add 192.0.2.{1}/24 dev up0; ip -n {0} addr add 2001:db8::{1}/64 dev up0 nodad
      ip -n {0} link set up0 up; ip -n switch link set p{1} master bridge0 up
      ip netns exec {0} ethtool -K up0 tx {2} tso {2} gso {2} gro on >/dev/null
      ip netns exec switch ethtool -K p{1} tx {2} tso {2} gso {2} gro on >/dev/null)",
                      name, number, offload));
  }
  for (int number = 1; number <= 3; number++) {
    shell(fmt::format(R"(
      ip -n h{0} link add mesh0 address 02:42:0a:00:00:02 type veth peer name mesh1
      ip -n h{0} link set mesh0 up; ip -n h{0} link set mesh1 up
      ip -n h{0} addr add 10.0.0.1/32 dev mesh0; ip -n h{0} addr add fd00::1/128 dev mesh0 nodad
      ip -n h{0} route add 10.0.0.2/32 dev mesh0 src 192.0.2.{0}
      ip -n h{0} -6 route add fd00::2/128 dev mesh0 src 2001:db8::{0})",
                      number));
  }
  const std::vector<std::pair<int, int>> containers = {{1, 1}, {2, 2}, {3, 3}, {4, 1}};
  for (const auto& [number, host] : containers) {
    shell(fmt::format(R"(
      ip -n h{1} link add mv{0} type veth peer name eth0 netns c{0} address 02:42:0a:00:00:{2:02x} mtu 1450
      ip -n h{1} link set mv{0} mtu 1450 up; ip -n c{0} link set eth0 up
      ip netns exec c{0} ethtool -K eth0 gro on >/dev/null
      ip -n c{0} addr add 10.0.0.1{0}/32 dev eth0; ip -n c{0} addr add 10.1.0.1{0}/32 dev eth0
      ip -n c{0} addr add fd00::1{0}/128 dev eth0 nodad
      ip -n c{0} route add default via 10.0.0.1 dev eth0 onlink src 10.0.0.1{0}
      ip -n c{0} route add 10.1.0.0/24 via 10.0.0.1 dev eth0 onlink src 10.1.0.1{0}
      ip -n c{0} -6 route add default via fd00::1 dev eth0 onlink src fd00::1{0}
      ip -n h{1} route add 10.0.0.1{0}/32 dev mv{0}; ip -n h{1} -6 route add fd00::1{0}/128 dev mv{0})",
                      number, host, 10 + number));
  }
  shell(R"(ip -n c4 addr add 10.2.0.14/32 dev eth0
    ip -n c4 route add 10.2.0.0/24 via 10.0.0.1 dev eth0 onlink src 10.2.0.14)");
}

void Wire::load_host(int number) {
  std::map<int, Mac> uplinks;
  for (int each = 1; each <= 3; each++) uplinks[each] = macs_in(fmt::format("h{}", each), {"up0"})["up0"];
  std::map<int, std::uint64_t> cookies;
  for (int each = 1; each <= 4; each++) {
    inside(fmt::format("c{}", each), [&] { return cookies[each] = namespace_cookie(), std::string(); });
  }
  auto kernel = std::make_unique<Kernel>();
  const std::string problem = inside(fmt::format("h{}", number), [&] {
    World world(*kernel);
    const __u32 uplink = index_of("up0");
    world.config(static_cast<__u16>(number), index_of("mesh0"), namespace_cookie());
    const auto node = [&](int each) {
      world.node({static_cast<__u16>(each), fmt::format("192.0.2.{}", each), uplinks[each], uplinks[number], uplink,
                  each == number, fmt::format("2001:db8::{}", each)});
    };
    node(number);
    for (int each = 1; each <= 3; each++) {
      if (each != number) node(each);
    }
    for (const __u8 protocol : {__u8{6}, __u8{17}}) {
      const __u16 base = protocol == 6 ? 0 : 10;
      world.service(protocol, kPort, {{1, __u16(base + 1)}, {2, __u16(base + 2)}, {3, __u16(base + 3)}}, {0, 1, 2});
      world.service(protocol, kSinglePort, {{2, __u16(base + 5)}}, {0});
    }
    world.network(4100, "10.1.0.0", 120);
    world.network(4101, "10.2.0.0", 120);
    const std::vector<std::pair<int, int>> containers = {{1, 1}, {2, 2}, {3, 3}, {4, 1}};
    for (const auto& [each, at] : containers) {
      const std::string v4 = fmt::format("10.0.0.1{}", each);
      const std::string v6 = fmt::format("fd00::1{}", each);
      const __u32 veth = at == number ? index_of(fmt::format("mv{}", each).c_str()) : 0;
      const auto home = static_cast<__u16>(at);
      world.endpoint(kIngressVni, v4, v4, home, veth);
      world.endpoint(kIngressVni, v6, v4, home, veth);
      world.endpoint(4100, fmt::format("10.1.0.1{}", each), v4, home, veth);
      if (each == 4) world.endpoint(4101, "10.2.0.14", v4, home, veth);
      if (veth == 0) continue;
      world.member(cookies[each], veth, each == 4 ? std::vector<__u32>{4100, 4101} : std::vector<__u32>{4100});
      kernel->attach_tc("mesh_endpoint_tc", static_cast<int>(veth));
      if (each > 3) continue;
      for (const __u8 protocol : {__u8{6}, __u8{17}}) {
        const auto base = static_cast<__u16>(protocol == 6 ? 0 : 10);
        world.binding(static_cast<__u16>(base + each), v4, v6, veth, protocol, kPort, 80);
        if (each == 2) world.binding(static_cast<__u16>(base + 5), v4, v6, veth, protocol, kSinglePort, 80);
      }
    }
    world.vip("10.1.0.200", 4100, {"10.1.0.12", "10.1.0.13"});
    world.vip("10.2.0.200", 4101, {"10.2.0.14"});
    kernel->attach_tc("mesh_uplink_tc", static_cast<int>(uplink));
    kernel->attach_tc("mesh_entry_tc", static_cast<int>(index_of("mesh1")));
    if (mode_ == WireMode::kXdp) kernel->attach_xdp("mesh_uplink_xdp", static_cast<int>(uplink));
    return std::string();
  });
  if (!problem.empty()) throw std::runtime_error(problem);
  for (const char* name : {"mesh_connect4", "mesh_connect6", "mesh_sendmsg4", "mesh_sendmsg6", "mesh_recvmsg4",
                           "mesh_recvmsg6", "mesh_peername4", "mesh_peername6"}) {
    kernel->attach_cgroup(name, cgroup_);
  }
  hosts_.push_back(std::move(kernel));
}

void Wire::serve(const std::string& netns) {
  std::atomic<bool> listening{false};
  servers_.emplace_back([this, netns, &listening] {
    inside(netns, [this, netns, &listening] {
      const Socket stream(SOCK_STREAM);
      const Socket datagram(SOCK_DGRAM);
      const sockaddr_in6 own = socket_address("::", 80);
      if (bind(stream.fd, reinterpret_cast<const sockaddr*>(&own), sizeof(own)) != 0 || listen(stream.fd, 1024) != 0 ||
          bind(datagram.fd, reinterpret_cast<const sockaddr*>(&own), sizeof(own)) != 0) {
        throw std::runtime_error(failed("serving"));
      }
      listening = true;
      std::vector<std::thread> connections;
      while (!stop_) {
        std::array<pollfd, 2> entries{pollfd{stream.fd, POLLIN, 0}, pollfd{datagram.fd, POLLIN, 0}};
        poll(entries.data(), entries.size(), 50);
        sockaddr_in6 from{};
        socklen_t size = sizeof(from);
        auto* whom = reinterpret_cast<sockaddr*>(&from);
        if (entries[0].revents != 0) {
          const int fd = accept4(stream.fd, whom, &size, SOCK_CLOEXEC);
          if (fd >= 0) connections.emplace_back(answer_connection, fd, netns, from);
        }
        if (entries[1].revents != 0) {
          std::array<char, 2048> buffer{};
          const ssize_t got = recvfrom(datagram.fd, buffer.data(), buffer.size(), 0, whom, &size);
          const std::string answer =
              fmt::format("{} {}\n", netns, text_of(from)) + std::string(buffer.data(), std::size_t(got));
          sendto(datagram.fd, answer.data(), answer.size(), 0, whom, size);
        }
      }
      for (std::thread& connection : connections) connection.join();
      return std::string();
    });
  });
  while (!listening) std::this_thread::yield();
}

std::string Wire::counters() {
  static constexpr std::array<const char*, MESH_COUNTERS> kNames = {
#define MESH_X(NAME, name, text) name,
      MESH_DROP_REASONS(MESH_X) MESH_EVENTS(MESH_X)
#undef MESH_X
  };
  std::string text;
  for (int number = 1; number <= 3; number++) {
    text += fmt::format("host {}:", number);
    for (__u32 counter = 0; counter < MESH_COUNTERS; counter++) {
      const __u64 value = host(number).counter(counter);
      if (value != 0) text += fmt::format(" {}={}", kNames.at(counter), value);
    }
    text += "\n";
  }
  return text;
}

}  // namespace mesh::packet
