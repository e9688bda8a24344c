#include "dataplane/port_holder.h"

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <netinet/in.h>
#include <optional>
#include <sys/socket.h>
#include <unistd.h>

#include <fmt/format.h>
#include <linux/filter.h>
#include <spdlog/spdlog.h>

#include "base/file.h"
#include "base/text.h"
#include "dataplane/dataplane.h"

namespace mesh::dataplane {
namespace {

// A kernel may be without SCTP. To ask it for such a socket loads the module where there is one, so it is asked once,
// and only when a port of SCTP is published.
bool has_sctp() {
  static const bool has = [] {
    if (Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_SCTP))) return true;
    spdlog::warn(
        "this kernel has no SCTP ({}): published ports of it are forwarded, but no container on this host can have a "
        "socket for it; load the module sctp or use a kernel with CONFIG_IP_SCTP",
        std::strerror(errno));
    return false;
  }();
  return has;
}

bool can_hold(PortKey port) { return port.first != Protocol::kSctp || has_sctp(); }

// Both families at once; IPv4 alone where the host has no IPv6.
Result<Fd> bind_port(PortKey port, bool reuse) {
  const int type = port.first == Protocol::kUdp ? SOCK_DGRAM : SOCK_STREAM;
  const int protocol = port.first == Protocol::kSctp ? IPPROTO_SCTP : 0;
  Fd socket(::socket(AF_INET6, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
  const bool dual = socket.valid();
  if (!dual) socket.reset(::socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
  if (!socket) return fail_errno("socket", errno);
  const int on = reuse ? 1 : 0;
  const int off = 0;
  setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  int outcome = 0;
  if (dual) {
    setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(port.second);
    outcome = bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  } else {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port.second);
    outcome = bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }
  if (outcome != 0) return fail_errno("bind", errno);
  // From here on nobody may share it.
  if (reuse) setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &off, sizeof off);
  if (port.first == Protocol::kUdp) {
    // Nothing is ever read from it: a filter that keeps no byte drops what arrives.
    sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
    const sock_fprog program{.len = 1, .filter = &drop};
    setsockopt(socket.get(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
  }
  return socket;
}

// Inode of the socket that has this local port in one of /proc/net/{tcp,udp}{,6}, for TCP only one that listens, or in
// /proc/net/sctp/eps.
std::optional<std::string> socket_inode(const std::string& table, PortKey port) {
  const Result<std::string> text = read_file("/proc/thread-self/net/" + table);
  if (!text) return std::nullopt;
  const bool is_sctp = port.first == Protocol::kSctp;
  const std::string wanted = is_sctp ? std::to_string(port.second) : fmt::format(":{:04X}", port.second);
  bool is_first = true;
  for (const std::string_view line : split(*text, '\n')) {
    if (std::exchange(is_first, false)) continue;
    std::vector<std::string_view> words;
    for (const std::string_view word : split(line, ' ')) {
      if (!word.empty()) words.push_back(word);
    }
    if (is_sctp) {
      // endpoint socket style state hash port uid inode addresses
      if (words.size() >= 8 && words[5] == wanted) return std::string(words[7]);
      continue;
    }
    // sl local remote state tx:rx timer retransmits uid timeout inode
    if (words.size() < 10 || !words[1].ends_with(wanted)) continue;
    constexpr std::string_view kListen = "0A";
    if (port.first == Protocol::kTcp && words[3] != kListen) continue;
    return std::string(words[9]);
  }
  return std::nullopt;
}

struct Owner {
  std::string pid;
  std::string name;
};

std::optional<Owner> process_with_socket(const std::string& inode) {
  const std::string wanted = "socket:[" + inode + "]";
  std::error_code error;
  for (const auto& process : std::filesystem::directory_iterator("/proc", error)) {
    const std::string pid = process.path().filename();
    if (!parse_number<int>(pid)) continue;
    // Processes end while we look: every failure here is "not this one".
    for (const auto& fd : std::filesystem::directory_iterator(process.path() / "fd", error)) {
      if (std::filesystem::read_symlink(fd.path(), error) != wanted) continue;
      const Result<std::string> name = read_file(process.path() / "comm");
      return Owner{pid, name ? std::string(trim(*name)) : "a process"};
    }
  }
  return std::nullopt;
}

// The program that has this local port, from /proc; none if it cannot be found (another namespace, a kernel socket).
std::optional<Owner> port_owner(PortKey port) {
  const std::string base = port.first == Protocol::kUdp ? "udp" : "tcp";
  std::vector<std::string> tables{base, base + "6"};
  if (port.first == Protocol::kSctp) tables = {"sctp/eps"};
  for (const std::string& table : tables) {
    if (const auto inode = socket_inode(table, port)) {
      if (auto owner = process_with_socket(*inode)) return owner;
    }
  }
  return std::nullopt;
}

Result<Fd> take_port(PortKey port) {
  Result<Fd> socket = bind_port(port, false);
  // Connections in TIME_WAIT of a program that has ended keep a port busy for a minute; they are not in our way. With
  // SO_REUSEADDR the kernel still refuses a port on which somebody listens.
  if (!socket && port.first == Protocol::kTcp) socket = bind_port(port, true);
  return socket;
}

std::string refusal(PortKey port, const std::string& host, const std::optional<Owner>& owner, const Error& error) {
  const std::string name = fmt::format("port {}/{}", port.second, protocol_name(port.first));
  if (!owner) return fmt::format("{} cannot be published on {}: {}", name, host, error.message);
  return fmt::format("{} is already in use on {} by {} (pid {}); stop it or publish another port", name, host,
                     owner->name, owner->pid);
}

}  // namespace

std::string port_refusal(PortKey port, const std::string& host) {
  if (!can_hold(port)) return {};
  const Result<Fd> socket = take_port(port);
  if (socket) return {};
  const std::optional<Owner> owner = port_owner(port);
  if (owner && owner->pid == std::to_string(getpid())) return {};
  return refusal(port, host, owner, socket.error());
}

std::vector<PortHolder::Refused> PortHolder::hold(const std::set<PortKey>& ports) {
  std::erase_if(sockets_, [&](const auto& entry) { return !ports.contains(entry.first); });
  std::vector<Refused> refused;
  for (const PortKey& port : ports) {
    if (!can_hold(port) || sockets_.contains(port)) continue;
    Result<Fd> socket = take_port(port);
    if (socket) {
      sockets_[port] = std::move(*socket);
    } else {
      refused.push_back({port, refusal(port, "this host", port_owner(port), socket.error())});
    }
  }
  return refused;
}

bool PortHolder::take(PortKey port) {
  if (!can_hold(port) || sockets_.contains(port)) return true;
  Result<Fd> socket = take_port(port);
  if (!socket) return false;
  sockets_[port] = std::move(*socket);
  return true;
}

}  // namespace mesh::dataplane
