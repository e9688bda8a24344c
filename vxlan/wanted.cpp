#include "vxlan/wanted.h"

#include "vxlan/netlink.h"
#include "vxlan/plan.h"

namespace mesh::vxlan {
namespace {

Cidr host_cidr(const IpAddress& address) { return {address, host_prefix(address)}; }

bool usable(const IpAddress& address, bool ipv6) { return !address.is_unset() && (address.is_v4() || ipv6); }

// mesh0 and mesh1: the gateway's addresses, and the routes that lead the host's own connections into the mesh.
void add_gateway(NamespaceState& host, const Gateway& gateway, bool ipv6) {
  host.links[kMeshInterface] = {.mac = gateway_mac(gateway), .mtu = gateway.mtu, .up = true, .gro = true};
  host.links[kMeshPeerInterface] = {.mac = mesh_mac(gateway), .mtu = gateway.mtu, .up = true, .gro = true};
  const auto family = [&](const IpAddress& own, const IpAddress& mesh, const IpAddress& source) {
    if (!usable(own, ipv6)) return;
    host.addresses.insert({kMeshInterface, own});
    if (!usable(mesh, ipv6)) return;
    // Without a source of that family the kernel takes the gateway's own address.
    host.routes.insert({kMeshInterface, host_cidr(mesh), {}, source});
    host.neighbours.insert({kMeshInterface, mesh, mesh_mac(gateway)});
  };
  family(gateway.gateway_v4, gateway.mesh_v4, gateway.host_source_v4);
  family(gateway.gateway_v6, gateway.mesh_v6, gateway.host_source_v6);
}

}  // namespace

MacAddress gateway_mac(const Gateway& gateway) { return MacAddress::of_endpoint(gateway.gateway_v4); }
MacAddress mesh_mac(const Gateway& gateway) { return MacAddress::of_endpoint(gateway.mesh_v4); }

NamespaceState wanted_host(const Desired& desired, const std::vector<const TaskLink*>& links,
                           const Observed& observed) {
  NamespaceState host;
  if (!desired.gateway) return host;
  add_gateway(host, *desired.gateway, observed.ipv6);
  for (const TaskLink* link : links) {
    host.links[link->host_name] = {.mtu = link->mtu, .up = true};
    for (const IpAddress& address : {link->ingress_v4, link->ingress_v6}) {
      if (!usable(address, observed.ipv6)) continue;
      // The way of mesh-dns's answers and of masqueraded replies; no ARP, the task's MAC is known.
      host.routes.insert({link->host_name, host_cidr(address), {}, {}});
      host.neighbours.insert({link->host_name, address, MacAddress::of_endpoint(link->ingress_v4)});
    }
  }
  host.sysctls["net/ipv4/ip_forward"] = "1";
  if (observed.ipv6) {
    host.sysctls["net/ipv6/conf/all/forwarding"] = "1";
    // A router ignores advertisements unless told otherwise: the host must not lose its own route by our forwarding.
    for (const std::string& name : observed.accept_ra_interfaces) {
      host.sysctls["net/ipv6/conf/" + name + "/accept_ra"] = "2";
    }
  }
  return host;
}

NamespaceState wanted_task(const Gateway& gateway, const TaskLink& link, bool ipv6) {
  NamespaceState task;
  task.links[kTaskInterface] = {
      .mac = MacAddress::of_endpoint(link.ingress_v4), .mtu = link.mtu, .up = true, .gro = true};
  const auto family = [&](const IpAddress& own, const IpAddress& via) {
    if (!usable(own, ipv6) || !usable(via, ipv6)) return;
    const Cidr everything{own.is_v4() ? IpAddress::v4(0) : IpAddress{}, 0};
    task.addresses.insert({kTaskInterface, own});
    task.routes.insert({kTaskInterface, host_cidr(via), {}, own});
    task.routes.insert({kTaskInterface, everything, via, own});
  };
  family(link.ingress_v4, gateway.gateway_v4);
  family(link.ingress_v6, gateway.gateway_v6);
  for (const TaskLink::NetworkRoute& network : link.networks) {
    if (!usable(network.source, ipv6)) continue;
    const IpAddress& via = network.source.is_v4() ? gateway.gateway_v4 : gateway.gateway_v6;
    if (!usable(via, ipv6)) continue;
    task.addresses.insert({kTaskInterface, network.source});
    task.routes.insert({kTaskInterface, network.subnet, via, network.source});
  }
  task.sysctls["net/ipv4/conf/eth0/rp_filter"] = "0";
  if (ipv6) task.sysctls["net/ipv6/conf/eth0/accept_ra"] = "0";
  return task;
}

}  // namespace mesh::vxlan
