// Subnets and VNIs of networks.
#include <algorithm>
#include <array>
#include <set>
#include <span>

#include <fmt/format.h>

#include "control/manager/address_book.h"
#include "control/manager/allocator.h"
#include "control/manager/withdrawn.h"

namespace mesh::manager {
namespace {

// What a new subnet must not overlap, and how to name it in an error.
struct Occupied {
  Cidr prefix;
  std::string who;
};

bool is_link_local_or_loopback(const Cidr& route) {
  static const std::array<Cidr, 4> kLocal{Cidr::parse("127.0.0.0/8").value(), Cidr::parse("169.254.0.0/16").value(),
                                          Cidr::parse("fe80::/10").value(), Cidr::parse("::1/128").value()};
  return std::ranges::any_of(kLocal, [&](const Cidr& local) { return local.overlaps(route); });
}

std::vector<Occupied> occupied(const store::View& view, const std::vector<Cidr>& routes) {
  std::vector<Occupied> result;
  for (const auto& [id, network] : view.networks()) {
    if (!network->mesh) continue;
    result.push_back({network->mesh->subnet_v4, "network " + network->name});
    if (network->mesh->subnet_v6) result.push_back({*network->mesh->subnet_v6, "network " + network->name});
  }
  const std::size_t networks = result.size();
  // A route inside one of our networks is one that we made.
  const auto add_route = [&](const Cidr& route, const std::string& host) {
    const auto inside = [&](const Occupied& network) {
      return network.prefix.contains(route.network) && network.prefix.length <= route.length;
    };
    const auto ours = std::span(result).first(networks);
    if (route.length != 0 && !is_link_local_or_loopback(route) && std::ranges::none_of(ours, inside)) {
      result.push_back({route, fmt::format("a network that host {} is connected to", host)});
    }
  };
  for (const auto& [id, node] : view.nodes()) {
    if (!node->mesh) continue;
    for (const Cidr& route : node->mesh->connected_routes) add_route(route, node->description.hostname);
    const IpAddress& address = node->mesh->address;
    if (!address.is_unset()) {
      add_route({address, static_cast<std::uint8_t>(address.is_v4() ? 32 : 128)}, node->description.hostname);
    }
  }
  for (const Cidr& route : routes) add_route(route, "of this manager");
  return result;
}

const Occupied* overlapping(const std::vector<Occupied>& taken, const Cidr& subnet) {
  const auto found = std::ranges::find_if(taken, [&](const Occupied& o) { return o.prefix.overlaps(subnet); });
  return found == taken.end() ? nullptr : &*found;
}

Result<Cidr> first_free(const std::vector<Cidr>& pools, std::uint8_t length, const std::vector<Occupied>& taken) {
  std::string names;
  for (const Cidr& pool : pools) {
    names += (names.empty() ? "" : ", ") + pool.to_string();
    if (!pool.network.is_v4() || length < pool.length) continue;
    const std::uint64_t step = std::uint64_t{1} << (32U - length);
    for (std::uint64_t at = 0; at + step <= pool.size();) {
      const Cidr candidate{pool.network.plus(at), length};
      const Occupied* other = overlapping(taken, candidate);
      if (other == nullptr) return candidate;
      // Past the end of what is in the way, rounded up to a subnet's border.
      const std::uint64_t begin = other->prefix.network.v4_host_order();
      const std::uint64_t end = begin + other->prefix.size();
      const std::uint64_t base = pool.network.v4_host_order();
      at = std::max(at + step, end <= base ? 0 : (end - base + step - 1) / step * step);
    }
  }
  return fail(ErrorKind::kExhausted,
              fmt::format("no free /{} subnet left in the address pool {}: remove unused networks, give --subnet, or "
                          "make the cluster with a larger --default-addr-pool",
                          length, names));
}

std::vector<Cidr> pools_of(const store::View& view) {
  std::vector<Cidr> pools;
  if (const model::Cluster* cluster = view.cluster()) {
    for (const std::string& text : cluster->default_addr_pool) {
      if (const auto pool = Cidr::parse(text)) pools.push_back(*pool);
    }
  }
  if (pools.empty()) pools.push_back(Cidr::parse("10.0.0.0/8").value());
  return pools;
}

Result<Cidr> choose_v4(const store::View& view, const model::Network& network, const std::vector<Occupied>& taken) {
  for (const model::IpamConfig& config : network.ipam.config) {
    if (config.subnet.empty()) continue;
    const Cidr subnet = TRY_IN("invalid subnet", Cidr::parse(config.subnet));
    if (!subnet.network.is_v4()) continue;
    if (subnet.length > 29) {
      return fail(ErrorKind::kInvalid,
                  fmt::format("subnet {} is too small for a network; use /29 or larger", config.subnet));
    }
    if (subnet.length < 8) return fail(ErrorKind::kInvalid, fmt::format("subnet {} is larger than /8", config.subnet));
    if (const Occupied* other = overlapping(taken, subnet)) {
      return fail(
          ErrorKind::kConflict,
          fmt::format("invalid pool request: Pool overlaps with other one on this address space: {} overlaps {} "
                      "({}); choose another --subnet",
                      config.subnet, other->prefix.to_string(), other->who));
    }
    return subnet;
  }
  const std::vector<Cidr> pools = pools_of(view);
  if (!network.ingress) {
    const std::uint32_t length = view.cluster() != nullptr ? view.cluster()->subnet_size : 24;
    return first_free(pools, static_cast<std::uint8_t>(length), taken);
  }
  // Every task of the cluster has an address here: as large as the pool allows.
  for (std::uint8_t length = kIngressPrefix; length < 24; ++length) {
    if (auto found = first_free(pools, length, taken)) return found;
  }
  return first_free(pools, 24, taken);
}

// fd, 40 bits from the cluster's id, 16 bits from the VNI: a unique local /64 (RFC 4193).
Cidr unique_local(const store::View& view, std::uint32_t vni) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;  // FNV-1a: any even spreading will do
  for (const char c : view.cluster() != nullptr ? view.cluster()->id : std::string{}) {
    hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x100000001b3ULL;
  }
  IpAddress::Bytes bytes{};
  bytes[0] = 0xfd;
  for (std::size_t i = 0; i < 5; ++i) bytes[1 + i] = static_cast<std::uint8_t>(hash >> (8 * i + 16));
  bytes[6] = static_cast<std::uint8_t>(vni >> 8U);
  bytes[7] = static_cast<std::uint8_t>(vni);
  return {IpAddress(bytes), 64};
}

Result<std::optional<Cidr>> choose_v6(const store::View& view, const model::Network& network, std::uint32_t vni,
                                      const std::vector<Occupied>& taken) {
  for (const model::IpamConfig& config : network.ipam.config) {
    if (config.subnet.empty()) continue;
    const Cidr subnet = TRY_IN("invalid subnet", Cidr::parse(config.subnet));
    if (subnet.network.is_v4()) continue;
    if (subnet.length > 96) {
      return fail(ErrorKind::kInvalid,
                  fmt::format("subnet {} is too small for a network; use /96 or larger", config.subnet));
    }
    if (const Occupied* other = overlapping(taken, subnet)) {
      return fail(
          ErrorKind::kConflict,
          fmt::format("invalid pool request: Pool overlaps with other one on this address space: {} overlaps {} ({})",
                      config.subnet, other->prefix.to_string(), other->who));
    }
    return subnet;
  }
  if (network.enable_ipv6 || network.ingress) return unique_local(view, vni);
  return std::optional<Cidr>{};
}

Result<std::uint32_t> choose_vni(const store::View& view) {
  std::set<std::uint32_t> used;
  for (const auto& [id, network] : view.networks()) {
    if (network->mesh) used.insert(network->mesh->vni);
  }
  if (used.empty()) return kVniFirst;
  const auto is_free = [&](std::uint32_t vni) { return !used.contains(vni) && view.withdrawn(vni_id(vni)) == nullptr; };
  for (std::uint32_t vni = *used.rbegin() + 1; vni <= kVniMax; ++vni) {
    if (is_free(vni)) return vni;
  }
  for (std::uint32_t vni = kVniFirst; vni <= kVniMax; ++vni) {
    if (is_free(vni)) return vni;
  }
  return fail(ErrorKind::kExhausted,
              fmt::format("all network numbers (VNI) from {} to {} are in use", kVniFirst, kVniMax));
}

}  // namespace

Status allocate_network(const store::View& view, const std::vector<Cidr>& routes, model::Network& network) {
  const std::vector<Occupied> taken = occupied(view, routes);
  model::NetworkMesh mesh;
  mesh.vni = TRY(choose_vni(view));
  mesh.subnet_v4 = TRY(choose_v4(view, network, taken));
  mesh.subnet_v6 = TRY(choose_v6(view, network, mesh.vni, taken));
  network.ipam.config.clear();
  network.ipam.config.push_back(
      {.subnet = mesh.subnet_v4.to_string(), .gateway = gateway_of(mesh.subnet_v4).to_string()});
  if (mesh.subnet_v6) {
    network.ipam.config.push_back(
        {.subnet = mesh.subnet_v6->to_string(), .gateway = gateway_of(*mesh.subnet_v6).to_string()});
  }
  network.options["com.docker.network.driver.overlay.vxlanid_list"] = std::to_string(mesh.vni);
  network.mesh = mesh;
  return {};
}

}  // namespace mesh::manager
