// mesh-static: the data plane of one host from a static description, without a cluster: for measurements.
//   mesh-static --pin-dir DIR --cgroup-root DIR FILE.json
// Prints "ready" once the kernel holds it, removes everything on SIGTERM. The description:
//   {"Self": 1, "Mode": "tc", "Uplinks": ["b0", "b1"],
//    "Nodes": [{"Number": 2, "Address": "10.9.1.2", "Uplink": "b1", "Source": "10.9.1.1", "NextHop": "02:…"}],
//    "Ports": [{"Protocol": "udp", "Port": 8010, "Return": "tunnel", "Backends": [{"Node": 2, "Binding": 1}]}],
//    "Endpoints": [{"Task": "web", "Node": 1, "Ingress": "10.0.0.5", "Address": "10.1.0.5", "Interface": "mv0",
//                   "Namespace": "/run/netns/web", "Bindings": [{"Index": 1, "Protocol": "udp", "Published": 8010,
//                                                                "Target": 80}]}],
//    "VirtualIps": [{"Address": "10.1.0.2", "Backends": ["10.1.0.5"]}]}
// An endpoint of another host has neither Interface nor Namespace nor Bindings. All are on one network, 10.1.0.0/16.
// The node numbered Self has no Uplink; its Address is where published ports answer. Return: "dsr", or as above.
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <net/if.h>

#include <CLI/CLI.hpp>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "bpf/abi.h"
#include "dataplane/dataplane.h"
#include "vxlan/netns.h"

namespace {

namespace dp = mesh::dataplane;
using mesh::Result;
using mesh::Status;

struct NodeText {
  std::uint16_t number = 0;
  mesh::IpAddress address;
  std::string uplink;
  mesh::IpAddress source;
  mesh::MacAddress next_hop;
};
template <class Visit>
constexpr bool json_fields(const NodeText*, Visit&& visit) {
  return visit("Number", &NodeText::number) && visit("Address", &NodeText::address) &&
         visit("Uplink", &NodeText::uplink) && visit("Source", &NodeText::source) &&
         visit("NextHop", &NodeText::next_hop);
}
struct BackendText {
  std::uint16_t node = 0;
  std::uint16_t binding = 0;
};
template <class Visit>
constexpr bool json_fields(const BackendText*, Visit&& visit) {
  return visit("Node", &BackendText::node) && visit("Binding", &BackendText::binding);
}
struct PortText {
  std::string protocol;
  std::uint16_t port = 0;
  std::string answers;
  std::vector<BackendText> backends;
};
template <class Visit>
constexpr bool json_fields(const PortText*, Visit&& visit) {
  return visit("Protocol", &PortText::protocol) && visit("Port", &PortText::port) &&
         visit("Return", &PortText::answers) && visit("Backends", &PortText::backends);
}
struct BindingText {
  std::uint16_t index = 0;
  std::string protocol;
  std::uint16_t published = 0, target = 0;
};
template <class Visit>
constexpr bool json_fields(const BindingText*, Visit&& visit) {
  return visit("Index", &BindingText::index) && visit("Protocol", &BindingText::protocol) &&
         visit("Published", &BindingText::published) && visit("Target", &BindingText::target);
}
struct EndpointText {
  std::string task;
  std::uint16_t node = 0;
  mesh::IpAddress ingress, address;
  std::string interface, network_namespace;
  std::vector<BindingText> bindings;
};
template <class Visit>
constexpr bool json_fields(const EndpointText*, Visit&& visit) {
  return visit("Task", &EndpointText::task) && visit("Node", &EndpointText::node) &&
         visit("Ingress", &EndpointText::ingress) && visit("Address", &EndpointText::address) &&
         visit("Interface", &EndpointText::interface) && visit("Namespace", &EndpointText::network_namespace) &&
         visit("Bindings", &EndpointText::bindings);
}
struct VirtualIpText {
  mesh::IpAddress address;
  std::vector<mesh::IpAddress> backends;
};
template <class Visit>
constexpr bool json_fields(const VirtualIpText*, Visit&& visit) {
  return visit("Address", &VirtualIpText::address) && visit("Backends", &VirtualIpText::backends);
}
struct Description {
  std::uint16_t self = 0;
  std::string mode;
  std::vector<std::string> uplinks;
  std::vector<NodeText> nodes;
  std::vector<PortText> ports;
  std::vector<EndpointText> endpoints;
  std::vector<VirtualIpText> virtual_ips;
};
template <class Visit>
constexpr bool json_fields(const Description*, Visit&& visit) {
  return visit("Self", &Description::self) && visit("Mode", &Description::mode) &&
         visit("Uplinks", &Description::uplinks) && visit("Nodes", &Description::nodes) &&
         visit("Ports", &Description::ports) && visit("Endpoints", &Description::endpoints) &&
         visit("VirtualIps", &Description::virtual_ips);
}

constexpr std::uint32_t kIngressVni = MESH_VNI_MIN, kOverlayVni = MESH_VNI_MIN + 1;

Result<mesh::MacAddress> mac_of(const std::string& interface) {
  const std::string text = TRY(mesh::read_file("/sys/class/net/" + interface + "/address"));
  return mesh::MacAddress::parse(mesh::trim(text));
}

Result<std::uint32_t> index_of(const std::string& interface) {
  const unsigned index = ::if_nametoindex(interface.c_str());
  if (index == 0) return mesh::fail_errno("interface " + interface, errno);
  return index;
}

dp::Protocol protocol_of(const std::string& name) { return name == "udp" ? dp::Protocol::kUdp : dp::Protocol::kTcp; }

Result<std::uint64_t> cookie_of(const std::string& network_namespace) {
  std::uint64_t cookie = 0;
  TRY(mesh::vxlan::in_netns(network_namespace, [&]() -> Status {
    cookie = TRY(mesh::vxlan::netns_cookie());
    return {};
  }));
  return cookie;
}

Status add_endpoint(const EndpointText& text, dp::Desired& desired) {
  dp::Endpoint endpoint{.task_id = text.task, .node = text.node, .ingress_v4 = text.ingress};
  endpoint.addresses = {{kIngressVni, text.ingress}, {kOverlayVni, text.address}};
  if (!text.interface.empty()) {
    endpoint.attachment = dp::Attachment{.ifindex = TRY(index_of(text.interface)),
                                         .netns_cookie = TRY(cookie_of(text.network_namespace))};
  }
  for (const BindingText& binding : text.bindings) {
    desired.bindings.push_back({.index = binding.index,
                                .task_id = text.task,
                                .protocol = protocol_of(binding.protocol),
                                .published_port = binding.published,
                                .target_port = binding.target});
  }
  desired.endpoints.push_back(endpoint);
  return {};
}

Result<dp::PublishedPort> published(const PortText& text) {
  dp::PublishedPort port;
  port.service_id = port.service_name = "static-" + std::to_string(text.port);
  port.protocol = protocol_of(text.protocol);
  port.port = text.port;
  if (text.answers == "dsr") port.return_mode = dp::ReturnMode::kDirect;
  std::vector<dp::RingMember> members;
  std::map<std::uint8_t, std::uint16_t> node_of;
  for (const BackendText& backend : text.backends) {
    const auto index = static_cast<std::uint8_t>(port.backends.size());
    members.push_back({.index = index, .node = backend.node});
    node_of[index] = backend.node;
    port.backends.push_back({.node = backend.node, .binding = backend.binding});
  }
  port.ring = TRY(dp::change_ring({}, members, node_of));
  return port;
}

Result<dp::Desired> desired_from(const Description& text, const std::string& cgroup_root) {
  dp::Desired desired;
  desired.self = text.self;
  desired.cgroup_root = cgroup_root;
  desired.networks = {{.vni = kIngressVni, .subnet_v4 = TRY(mesh::Cidr::parse("10.0.0.0/16")), .ingress = true},
                      {.vni = kOverlayVni, .subnet_v4 = TRY(mesh::Cidr::parse("10.1.0.0/16"))}};
  desired.gateway_v4 = mesh::IpAddress::v4(0x0a000001U);
  desired.mesh_v4 = mesh::IpAddress::v4(0x0a000002U);
  std::vector<mesh::IpAddress> own;
  for (const NodeText& node : text.nodes) {
    dp::Node row{.number = node.number, .address = node.address, .source = node.source, .next_hop = node.next_hop};
    row.addresses = {node.address};
    if (!node.uplink.empty()) {
      row.ifindex = TRY(index_of(node.uplink));
      row.egress_mac = TRY(mac_of(node.uplink));
    }
    if (node.number == text.self) own = row.addresses;
    desired.nodes.push_back(row);
  }
  for (const std::string& name : text.uplinks) {
    const dp::UplinkMode mode = text.mode == "xdp" ? dp::UplinkMode::kXdp : dp::UplinkMode::kTc;
    desired.uplinks.push_back(
        {.name = name, .ifindex = TRY(index_of(name)), .mac = TRY(mac_of(name)), .mode = mode, .addresses = own});
  }
  for (const PortText& port : text.ports) desired.ports.push_back(TRY(published(port)));
  for (const EndpointText& endpoint : text.endpoints) TRY(add_endpoint(endpoint, desired));
  for (const VirtualIpText& vip : text.virtual_ips) {
    desired.virtual_ips.push_back(
        {.address = vip.address, .vni = kOverlayVni, .service_id = "static", .backends = vip.backends});
  }
  return desired;
}

Status run(const std::string& file, const std::string& pin_dir, const std::string& cgroup_root) {
  const Description text = TRY_IN(file, mesh::decode_text<Description>(TRY(mesh::read_file(file))));
  const dp::Desired desired = TRY(desired_from(text, cgroup_root));
  const dp::Options options{.pin_dir = pin_dir};
  dp::Dataplane dataplane = TRY(dp::Dataplane::open(options));
  const dp::Report report = TRY(dataplane.reconcile(desired));
  for (const dp::Problem& problem : report.problems) {
    std::fprintf(stderr, "mesh-static: %s: %s\n", problem.subject.c_str(), problem.message.c_str());
  }
  if (!report.problems.empty()) {
    TRY(dp::Dataplane::cleanup(options));
    return mesh::fail(mesh::ErrorKind::kInternal, "the kernel does not hold the description");
  }
  std::puts("ready");
  std::fflush(stdout);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  int signal = 0;
  sigwait(&set, &signal);
  const dp::Counters counters = TRY(dataplane.counters());
  for (const dp::DropCounter& drop : counters.drops) {
    if (drop.packets == 0) continue;
    std::fprintf(stderr, "drop %s: %llu\n", drop.reason.c_str(), static_cast<unsigned long long>(drop.packets));
  }
  return dp::Dataplane::cleanup(options);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("the data plane of one host from a static description");
  std::string file, pin_dir, cgroup_root;
  app.add_option("--pin-dir", pin_dir, "on a bpffs")->required();
  app.add_option("--cgroup-root", cgroup_root, "cgroup2 directory for the connect hooks");
  app.add_option("description", file)->required();
  CLI11_PARSE(app, argc, argv);
  const Status status = run(file, pin_dir, cgroup_root);
  if (status) return 0;
  std::fprintf(stderr, "mesh-static: %s\n", status.error().message.c_str());
  return 1;
}
