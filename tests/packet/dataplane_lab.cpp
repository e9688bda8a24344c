#include "tests/packet/dataplane_lab.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <iostream>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdexcept>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

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

// The kernel asks for the neighbour; the switch answers within a moment.
void find_way(dataplane::Node& node) {
  Result<vxlan::NetworkEvents> events = vxlan::NetworkEvents::open();
  for (int attempt = 0; attempt < 50; ++attempt) {
    const vxlan::NextHop hop = vxlan::resolve({node.address}).value().at(0);
    if (hop.resolved) {
      node.ifindex = hop.ifindex;
      node.source = hop.source;
      node.next_hop = hop.next_hop;
      node.egress_mac = hop.egress;
      return;
    }
    pollfd waiting{events->fd(), POLLIN, 0};
    poll(&waiting, 1, 1000);
    (void)events->drain();
  }
}

}  // namespace

std::string shell(const std::string& command) {
  const Result<ProcessOutcome> outcome = run_process({.argv = {"sh", "-c", command}});
  if (!outcome) throw std::runtime_error(outcome.error().message);
  if (outcome->exit_status != 0) throw std::runtime_error(command + ": " + outcome->err);
  return outcome->out;
}

namespace {

// False: it is not possible here, and `why`.
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

}  // namespace

void OwnWorld::SetUp() {
  std::string why;
  if (!enter_own_world(why)) {
    std::cout << "skipped: " << why << "\n";
    std::exit(77);
  }
  shell(further_);
}

void OwnWorld::TearDown() {
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
  shell(fmt::format("ip netns add {0} && ip link add up0 netns {0} type veth peer name {1} netns {2}-switch", name,
                    port, name_));
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
  shell(
      fmt::format("ip netns add {0}-switch && ip -n {0}-switch link add br0 type bridge && "
                  "ip -n {0}-switch link set br0 up",
                  name_));
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
    if (other->number != host.number) find_way(node);
    desired.nodes.push_back(node);
  }
  desired.networks = {
      {.vni = kIngressVni, .subnet_v4 = cidr("10.0.0.0/16"), .subnet_v6 = cidr("fd00:6d65::/64"), .ingress = true},
      {.vni = kBlueVni, .subnet_v4 = cidr("10.1.0.0/24")},
      {.vni = kRedVni, .subnet_v4 = cidr("10.2.0.0/24")}};
  std::map<std::uint16_t, std::uint16_t> last_binding;  // by node
  std::vector<dataplane::Backend> tcp, udp;
  std::vector<std::uint8_t> owners;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    const Task& task = tasks[i];
    dataplane::Endpoint endpoint{
        .task_id = task.id, .node = task.node, .ingress_v4 = address_of(task, kIngressVni), .state = task.state};
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
    for (const auto& [backend, protocol] :
         {std::pair(tcp.back(), dataplane::Protocol::kTcp), std::pair(udp.back(), dataplane::Protocol::kUdp)}) {
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
      host->report = *report;
    });
  }
}

}  // namespace mesh::lab
