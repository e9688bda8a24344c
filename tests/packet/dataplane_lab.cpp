#include "tests/packet/dataplane_lab.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/process.h"
#include "base/text.h"
#include "vxlan/netns.h"
#include "vxlan/uplink.h"

namespace mesh::lab {
namespace {

std::string own_cgroup;
std::string home_cgroup;

IpAddress ip(const std::string& text) { return IpAddress::parse(text).value(); }
Cidr cidr(const std::string& text) { return Cidr::parse(text).value(); }

// Where a cgroup2 hierarchy is mounted, and where in it this process is.
std::string find_cgroup2() {
  std::ifstream mounts("/proc/self/mounts");
  std::string device, place, type, rest;
  while (mounts >> device >> place >> type && std::getline(mounts, rest)) {
    if (type == "cgroup2") return place;
  }
  return {};
}
std::string current_cgroup() {
  std::ifstream file("/proc/self/cgroup");
  std::string line;
  while (std::getline(file, line)) {
    if (line.starts_with("0::")) return line.substr(3);
  }
  return "/";
}

}  // namespace

std::string shell(const std::string& command) {
  const Result<ProcessOutcome> outcome = run_process({.argv = {"sh", "-c", command}});
  if (!outcome) throw std::runtime_error(outcome.error().message);
  if (outcome->exit_status != 0) throw std::runtime_error(command + ": " + outcome->err);
  return outcome->out;
}

bool enter_own_world(std::string& why) {
  if (geteuid() != 0) {
    why = "needs root to make network namespaces";
    return false;
  }
  const std::string root = find_cgroup2();
  if (root.empty()) {
    why = "no cgroup2 hierarchy is mounted";
    return false;
  }
  // Directories of runs that were killed.
  for (const std::string& name : list_directory(root).value_or(std::vector<std::string>())) {
    constexpr std::string_view kPrefix = "meshd-packet-test-";
    if (!name.starts_with(kPrefix) || access(("/proc/" + name.substr(kPrefix.size())).c_str(), F_OK) == 0) continue;
    rmdir((root + "/" + name).c_str());
  }
  home_cgroup = root + current_cgroup();
  own_cgroup = fmt::format("{}/meshd-packet-test-{}", root, getpid());
  if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      mount("tmpfs", "/run", "tmpfs", 0, nullptr) != 0) {
    why = fmt::format("namespaces: {}", strerror(errno));
    return false;
  }
  shell("mkdir /run/bpf && mount -t bpf bpf /run/bpf && mkdir " + own_cgroup);
  if (!write_kernel_file(own_cgroup + "/cgroup.procs", std::to_string(getpid()))) {
    why = "cannot enter a cgroup of its own";
    return false;
  }
  return true;
}

void leave_own_world() {
  if (own_cgroup.empty()) return;
  EXPECT_TRUE(write_kernel_file(home_cgroup + "/cgroup.procs", std::to_string(getpid())));
  EXPECT_EQ(rmdir(own_cgroup.c_str()), 0) << strerror(errno);
}

const std::string& cgroup_directory() { return own_cgroup; }

IpAddress address_of(const Task& task, std::uint32_t vni) {
  return ip(fmt::format("10.{}.0.{}", vni - kIngressVni, 10 + task.number));
}
IpAddress address_v6_of(const Task& task) { return ip(fmt::format("fd00:6d65::{}", 10 + task.number)); }
IpAddress host_address(std::uint16_t number) { return ip(fmt::format("192.168.7.{}", 10 + number)); }
IpAddress host_address_v6(std::uint16_t number) { return ip(fmt::format("fd07::{}", 10 + number)); }
IpAddress virtual_ip(std::uint32_t vni) { return ip(fmt::format("10.{}.0.2", vni - kIngressVni)); }

void Cluster::inside(const std::string& netns, const std::function<void()>& work) {
  std::exception_ptr failure;
  const Status status = vxlan::in_netns(netns, [&]() -> Status {
    try {
      work();
    } catch (...) {
      failure = std::current_exception();
    }
    return {};
  });
  if (failure) std::rethrow_exception(failure);
  if (!status) throw std::runtime_error(status.error().message);
}

void Cluster::wire(const std::string& name, int last_byte) {
  const std::string in = "ip -n " + name + " ";
  const std::string port = fmt::format("p{}", last_byte);
  const std::string at_switch = fmt::format("ip netns exec {}-switch ", name_);
  shell(fmt::format("ip netns add {0} && ip link add up0 netns {0} type veth peer name {1} netns {2}-switch", name, port,
                    name_));
  shell(at_switch + fmt::format("ip link set {} master br0 up", port));
  shell(at_switch + fmt::format("ethtool -K {} gro on", port));
  if (mode_ == dataplane::UplinkMode::kXdp) {
    // As a real wire: no partial checksums, no packets larger than the MTU.
    shell(fmt::format("ip netns exec {} ethtool -K up0 tx off gso off tso off", name));
    shell(at_switch + fmt::format("ethtool -K {} tx off gso off tso off", port));
  }
  shell(in + "link set lo up && " + in + fmt::format("addr add 192.168.7.{}/24 dev up0", last_byte));
  shell(in + fmt::format("addr add fd07::{}/64 dev up0 nodad && ", last_byte) + in + "link set up0 up");
  shell(in + "route add default via 192.168.7.1 dev up0");
}

Cluster::Cluster(int hosts, dataplane::UplinkMode mode)
    : mode_(mode), name_(mode == dataplane::UplinkMode::kXdp ? "xdp" : "tc") {
  shell(fmt::format("ip netns add {0}-switch && ip -n {0}-switch link add br0 type bridge && "
                    "ip -n {0}-switch link set br0 up", name_));
  wire(name_ + "-client", 100);
  client_netns_ = "/run/netns/" + name_ + "-client";
  for (int number = 1; number <= hosts; ++number) {
    const std::string name = fmt::format("{}-host{}", name_, number);
    wire(name, 10 + number);
    auto host = std::make_unique<Host>();
    host->number = static_cast<std::uint16_t>(number);
    host->netns = "/run/netns/" + name;
    host->overlay_options.run_dir = "/run/" + name;
    host->dataplane_options.pin_dir = "/run/bpf/" + name;
    hosts_.push_back(std::move(host));
    restart(static_cast<std::uint16_t>(number));
  }
}

void Cluster::restart(std::uint16_t number) {
  Host& one = host(number);
  inside(one.netns, [&] {
    one.overlay.reset();
    one.dataplane.reset();
    Result<vxlan::Overlay> overlay = vxlan::Overlay::open(one.overlay_options);
    if (!overlay) throw std::runtime_error(overlay.error().message);
    Result<dataplane::Dataplane> plane = dataplane::Dataplane::open(one.dataplane_options);
    if (!plane) throw std::runtime_error(plane.error().message);
    one.overlay = std::make_unique<vxlan::Overlay>(std::move(*overlay));
    one.dataplane = std::make_unique<dataplane::Dataplane>(std::move(*plane));
  });
}

Cluster::~Cluster() {
  for (const auto& host : hosts_) {
    inside(host->netns, [&] {
      host->overlay.reset();
      host->dataplane.reset();
      const Status plane = dataplane::Dataplane::cleanup(host->dataplane_options);
      EXPECT_TRUE(plane) << plane.error().message;
      const Status overlay = vxlan::Overlay::cleanup(host->overlay_options);
      EXPECT_TRUE(overlay) << overlay.error().message;
    });
    shell(fmt::format("ip netns del {}-host{}", name_, host->number));
  }
  shell(fmt::format("ip netns del {0}-client && ip netns del {0}-switch", name_));
}

std::string Cluster::task_netns(const Task& task) {
  return vxlan::netns_path(host(task.node).overlay_options, task.id);
}

vxlan::Desired Cluster::overlay_of(const Host& host) const {
  vxlan::Desired desired;
  desired.gateway = vxlan::Gateway{.gateway_v4 = ip("10.0.0.1"),
                                   .gateway_v6 = ip("fd00:6d65::1"),
                                   .mesh_v4 = ip("10.0.0.2"),
                                   .mesh_v6 = ip("fd00:6d65::2"),
                                   .host_source_v4 = host_address(host.number),
                                   .host_source_v6 = host_address_v6(host.number)};
  for (const Task& task : tasks) {
    if (task.node != host.number) continue;
    vxlan::TaskLink link{.task_id = task.id,
                         .netns_path = vxlan::netns_path(host.overlay_options, task.id),
                         .host_name = vxlan::host_interface_name(task.id),
                         .ingress_v4 = address_of(task, kIngressVni),
                         .ingress_v6 = address_v6_of(task)};
    for (const std::uint32_t vni : task.networks) {
      link.networks.push_back({cidr(fmt::format("10.{}.0.0/24", vni - kIngressVni)), address_of(task, vni)});
    }
    desired.masquerade.sources.push_back(link.ingress_v4);
    desired.links.push_back(std::move(link));
  }
  desired.masquerade.cluster = {cidr("10.0.0.0/16"), cidr("10.1.0.0/24"), cidr("10.2.0.0/24"), cidr("fd00:6d65::/64")};
  desired.reserved_ports = ports;
  return desired;
}

dataplane::Desired Cluster::dataplane_of(Host& host, const vxlan::Report& links) const {
  dataplane::Desired desired;
  desired.self = host.number;
  const Result<vxlan::UplinkInfo> uplink = vxlan::find_uplink("up0");
  if (!uplink) throw std::runtime_error(uplink.error().message);
  desired.uplinks = {{uplink->name, uplink->ifindex, uplink->mac, mode_, uplink->addresses, uplink->mtu}};
  for (const auto& other : hosts_) {
    dataplane::Node node{.number = other->number,
                         .address = host_address(other->number),
                         .addresses = {host_address(other->number), host_address_v6(other->number)}};
    if (other->number != host.number) {
      // The kernel asks; the switch answers within a moment.
      Result<vxlan::NetworkEvents> events = vxlan::NetworkEvents::open();
      for (int attempt = 0; attempt < 50 && node.ifindex == 0; ++attempt) {
        const vxlan::NextHop hop = vxlan::resolve({node.address}).value().at(0);
        if (hop.resolved) {
          node.ifindex = hop.ifindex;
          node.source = hop.source;
          node.next_hop = hop.next_hop;
          node.egress_mac = hop.egress;
          break;
        }
        pollfd waiting{events->fd(), POLLIN, 0};
        poll(&waiting, 1, 1000);
        (void)events->drain();
      }
    }
    desired.nodes.push_back(node);
  }
  desired.networks = {{.vni = kIngressVni,
                       .subnet_v4 = cidr("10.0.0.0/16"),
                       .subnet_v6 = cidr("fd00:6d65::/64"),
                       .ingress = true},
                      {.vni = kBlueVni, .subnet_v4 = cidr("10.1.0.0/24")},
                      {.vni = kRedVni, .subnet_v4 = cidr("10.2.0.0/24")}};
  std::map<std::uint16_t, std::uint16_t> last_binding;  // by node
  std::vector<dataplane::Backend> tcp, udp;
  std::vector<std::uint8_t> owners;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    const Task& task = tasks[i];
    dataplane::Endpoint endpoint{.task_id = task.id,
                                 .node = task.node,
                                 .ingress_v4 = address_of(task, kIngressVni),
                                 .state = task.state};
    endpoint.addresses = {{kIngressVni, endpoint.ingress_v4}, {kIngressVni, address_v6_of(task)}};
    for (const std::uint32_t vni : task.networks) endpoint.addresses.push_back({vni, address_of(task, vni)});
    if (task.node == host.number && links.links.contains(task.id)) {
      const vxlan::LinkState& link = links.links.at(task.id);
      endpoint.attachment = dataplane::Attachment{link.ifindex, link.netns_cookie};
    }
    desired.endpoints.push_back(endpoint);
    tcp.push_back({.node = task.node, .binding = ++last_binding[task.node], .state = task.state});
    udp.push_back({.node = task.node, .binding = ++last_binding[task.node], .state = task.state});
    if (task.state == dataplane::EndpointState::kReady) owners.push_back(static_cast<std::uint8_t>(i));
    if (task.node != host.number) continue;
    for (const auto& [backend, protocol] : {std::pair(tcp.back(), dataplane::Protocol::kTcp),
                                            std::pair(udp.back(), dataplane::Protocol::kUdp)}) {
      desired.bindings.push_back({.index = backend.binding,
                                  .task_id = task.id,
                                  .protocol = protocol,
                                  .published_port = ports.front(),
                                  .target_port = 80,
                                  .state = task.state});
    }
  }
  dataplane::Ring ring{.version = ring_version};
  for (std::size_t slot = 0; slot < 256 && !owners.empty(); ++slot) ring.owners.push_back(owners[slot % owners.size()]);
  for (const std::uint16_t port : ports) {
    desired.ports.push_back({"service", "web", dataplane::Protocol::kTcp, port, ring, tcp});
    desired.ports.push_back({"service", "web", dataplane::Protocol::kUdp, port, ring, udp});
  }
  for (const std::uint32_t vni : {kBlueVni, kRedVni}) {
    dataplane::VirtualIp vip{.address = virtual_ip(vni), .vni = vni, .service_id = "service"};
    for (const Task& task : tasks) {
      const bool member = std::ranges::find(task.networks, vni) != task.networks.end();
      if (member && task.state == dataplane::EndpointState::kReady) vip.backends.push_back(address_of(task, vni));
    }
    desired.virtual_ips.push_back(vip);
  }
  desired.gateway_v4 = ip("10.0.0.1");
  desired.gateway_v6 = ip("fd00:6d65::1");
  desired.mesh_v4 = ip("10.0.0.2");
  desired.mesh_v6 = ip("fd00:6d65::2");
  desired.mesh_ifindex = links.mesh_ifindex;
  desired.mesh_peer_ifindex = links.mesh_peer_ifindex;
  desired.cgroup_root = cgroup_directory();
  return desired;
}

void Cluster::apply() {
  for (const auto& host : hosts_) {
    inside(host->netns, [&] {
      const Result<vxlan::Report> links = host->overlay->reconcile(overlay_of(*host));
      if (!links) throw std::runtime_error(links.error().message);
      for (const vxlan::Problem& problem : links->problems) ADD_FAILURE() << problem.subject << ": " << problem.message;
      host->desired = dataplane_of(*host, *links);
      const Result<dataplane::Report> report = host->dataplane->reconcile(host->desired);
      if (!report) throw std::runtime_error(report.error().message);
      for (const dataplane::Problem& problem : report->problems) {
        ADD_FAILURE() << "host " << host->number << ": " << problem.subject << ": " << problem.message;
      }
    });
  }
}

namespace {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = sizeof(sockaddr_storage);
  [[nodiscard]] sockaddr* raw() { return reinterpret_cast<sockaddr*>(&storage); }
};

Address to_socket(const SocketAddress& to) {
  Address address;
  if (to.ip.is_v4()) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(to.port);
    v4->sin_addr.s_addr = htonl(to.ip.v4_host_order());
    address.size = sizeof *v4;
  } else {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(to.port);
    std::memcpy(&v6->sin6_addr, to.ip.bytes().data(), 16);
    address.size = sizeof *v6;
  }
  return address;
}

std::string to_text(const Address& address) {
  if (address.storage.ss_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address.storage);
    return SocketAddress{IpAddress::v4(ntohl(v4->sin_addr.s_addr)), ntohs(v4->sin_port)}.to_string();
  }
  const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&address.storage);
  IpAddress::Bytes bytes{};
  std::memcpy(bytes.data(), &v6->sin6_addr, bytes.size());
  return SocketAddress{IpAddress(bytes), ntohs(v6->sin6_port)}.to_string();
}

// Requests and answers end with a line end.
std::optional<std::string> read_line(int socket) {
  std::string line;
  char c = 0;
  while (line.size() < 65536) {
    const ssize_t size = recv(socket, &c, 1, 0);
    if (size <= 0) return std::nullopt;
    if (c == '\n') return line;
    line.push_back(c);
  }
  return std::nullopt;
}

void set_timeout(int socket) {
  const timeval timeout{.tv_sec = 3, .tv_usec = 0};
  setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
}

Answer parse_answer(const std::string& line, int socket) {
  Answer answer;
  const std::size_t first = line.find(' ');
  const std::size_t second = line.find(' ', first + 1);
  answer.task = line.substr(0, first);
  answer.peer = line.substr(first + 1, second - first - 1);
  answer.payload = line.substr(second + 1);
  Address peer;
  if (getpeername(socket, peer.raw(), &peer.size) == 0) answer.named = to_text(peer);
  Address own;
  if (getsockname(socket, own.raw(), &own.size) == 0) {
    answer.client_port = ntohs(reinterpret_cast<sockaddr_in*>(&own.storage)->sin_port);
  }
  return answer;
}

Fd connect_tcp(const std::string& netns, const SocketAddress& to, std::uint16_t source_port, std::string* error) {
  Fd socket;
  Cluster::inside(netns, [&] {
    Address address = to_socket(to);
    Fd fresh(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    set_timeout(fresh.get());
    if (source_port != 0) {
      const int on = 1;
      setsockopt(fresh.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
      Address local = to_socket({to.ip.is_v4() ? IpAddress::v4(0) : IpAddress(), source_port});
      if (bind(fresh.get(), local.raw(), local.size) != 0) throw std::runtime_error("bind");
    }
    if (connect(fresh.get(), address.raw(), address.size) != 0) {
      if (error != nullptr) *error = strerror(errno);
      return;
    }
    socket = std::move(fresh);
  });
  return socket;
}

std::optional<Answer> exchange(int socket, const std::string& payload) {
  const std::string line = payload + "\n";
  if (send(socket, line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size())) return std::nullopt;
  const auto answer = read_line(socket);
  if (!answer) return std::nullopt;
  return parse_answer(*answer, socket);
}

}  // namespace

Server::Server(std::string name, const std::string& netns) : name_(std::move(name)) {
  Cluster::inside(netns, [&] {
    Address any = to_socket({IpAddress(), 80});
    tcp_.reset(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    udp_.reset(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int on = 1;
    setsockopt(tcp_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(tcp_.get(), any.raw(), any.size) != 0 || listen(tcp_.get(), 4096) != 0 ||
        bind(udp_.get(), any.raw(), any.size) != 0) {
      throw std::runtime_error(std::string("server: ") + strerror(errno));
    }
  });
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe");
  stop_read_.reset(ends[0]);
  stop_write_.reset(ends[1]);
  thread_ = std::thread([this] { serve(); });
}

Server::~Server() {
  stop_write_.reset();
  thread_.join();
}

void Server::serve() {
  struct Client {
    Fd socket;
    std::string peer;
    std::string input;
  };
  std::map<int, Client> clients;
  while (true) {
    std::vector<pollfd> waiting = {{stop_read_.get(), POLLIN, 0}, {tcp_.get(), POLLIN, 0}, {udp_.get(), POLLIN, 0}};
    for (const auto& [fd, client] : clients) waiting.push_back({fd, POLLIN, 0});
    poll(waiting.data(), waiting.size(), -1);
    if (waiting[0].revents != 0) return;
    Address peer;
    if (waiting[2].revents != 0) {
      std::array<char, 65536> buffer{};
      const ssize_t size = recvfrom(udp_.get(), buffer.data(), buffer.size(), 0, peer.raw(), &peer.size);
      if (size >= 0) {
        const std::string answer =
            fmt::format("{} {} {}", name_, to_text(peer), std::string_view(buffer.data(), static_cast<std::size_t>(size)));
        sendto(udp_.get(), answer.data(), answer.size(), 0, peer.raw(), peer.size);
      }
    }
    for (std::size_t i = 3; i < waiting.size(); ++i) {
      if (waiting[i].revents == 0) continue;
      Client& client = clients.at(waiting[i].fd);
      std::array<char, 65536> buffer{};
      const ssize_t size = recv(waiting[i].fd, buffer.data(), buffer.size(), 0);
      if (size <= 0) {
        clients.erase(waiting[i].fd);
        continue;
      }
      client.input.append(buffer.data(), static_cast<std::size_t>(size));
      for (std::size_t end = client.input.find('\n'); end != std::string::npos; end = client.input.find('\n')) {
        const std::string answer = fmt::format("{} {} {}\n", name_, client.peer, client.input.substr(0, end));
        send(waiting[i].fd, answer.data(), answer.size(), MSG_NOSIGNAL);
        client.input.erase(0, end + 1);
      }
    }
    if (waiting[1].revents == 0) continue;
    Fd accepted(accept4(tcp_.get(), peer.raw(), &peer.size, SOCK_CLOEXEC));
    if (!accepted) continue;
    const int fd = accepted.get();
    clients[fd] = {std::move(accepted), to_text(peer), {}};
  }
}

std::optional<Answer> ask_tcp(const std::string& netns, const SocketAddress& to, const std::string& payload,
                              std::uint16_t source_port, std::string* error) {
  const Fd socket = connect_tcp(netns, to, source_port, error);
  if (!socket) return std::nullopt;
  return exchange(socket.get(), payload);
}

std::optional<Answer> ask_udp(const std::string& netns, const SocketAddress& to, const std::string& payload) {
  std::optional<Answer> answer;
  Cluster::inside(netns, [&] {
    Address address = to_socket(to);
    const Fd socket(::socket(address.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    set_timeout(socket.get());
    if (connect(socket.get(), address.raw(), address.size) != 0) return;
    if (send(socket.get(), payload.data(), payload.size(), 0) < 0) return;
    std::array<char, 65536> buffer{};
    const ssize_t size = recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (size > 0) answer = parse_answer(std::string(buffer.data(), static_cast<std::size_t>(size)), socket.get());
  });
  return answer;
}

Connection::Connection(const std::string& netns, const SocketAddress& to)
    : socket_(connect_tcp(netns, to, 0, nullptr)) {}

std::optional<Answer> Connection::ask(const std::string& payload) { return exchange(socket_.get(), payload); }

}  // namespace mesh::lab
