// The names that this host's mesh-dns answers: plain values. Who asks is known by its ingress address; it sees the
// names of its own networks only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "base/json.h"

namespace mesh::dns {

// A name on one network. Service: the VIP; "tasks.<service>": every running healthy task; a task's container name, id
// prefix and hostname: its address. Lower case, no final dot. A family without an address answers NOERROR without data;
// so does a service without tasks.
struct Name {
  std::string name;
  std::vector<IpAddress> addresses;
  bool operator==(const Name&) const = default;
};
template <class Visit>
constexpr bool json_fields(const Name*, Visit&& visit) {
  return visit("Name", &Name::name) && visit("Addresses", &Name::addresses);
}

// address -> "image-gallery.1.<task id>.<network name>".
struct Reverse {
  IpAddress address;
  std::string name;
  bool operator==(const Reverse&) const = default;
};
template <class Visit>
constexpr bool json_fields(const Reverse*, Visit&& visit) {
  return visit("Address", &Reverse::address) && visit("Name", &Reverse::name);
}

struct Network {
  std::string id;
  std::string name;
  std::vector<Name> names;
  std::vector<Reverse> reverse;
  bool operator==(const Network&) const = default;
};
template <class Visit>
constexpr bool json_fields(const Network*, Visit&& visit) {
  return visit("ID", &Network::id) && visit("Name", &Network::name) && visit("Names", &Network::names) &&
         visit("Reverse", &Network::reverse);
}

// A local task that may ask. `address` and `address_v6` are its ingress addresses, the source of its queries.
struct Client {
  IpAddress address;
  IpAddress address_v6;
  std::vector<std::string> network_ids;  // in the order of the task's attachments: the first match wins
  bool operator==(const Client&) const = default;
};
template <class Visit>
constexpr bool json_fields(const Client*, Visit&& visit) {
  return visit("Address", &Client::address) && visit("AddressV6", &Client::address_v6) &&
         visit("NetworkIDs", &Client::network_ids);
}

// A resolver of the host, for names that are not the cluster's.
struct Upstream {
  IpAddress address;
  std::uint16_t port = 53;
  bool operator==(const Upstream&) const = default;
};
template <class Visit>
constexpr bool json_fields(const Upstream*, Visit&& visit) {
  return visit("Address", &Upstream::address) && visit("Port", &Upstream::port);
}

inline constexpr std::size_t kUpstreamsMax = 3;  // as resolv.conf(5)

struct Desired {
  std::uint64_t version = 0;  // grows with each change; mesh-dns reports the one it answers from
  std::vector<Network> networks;
  std::vector<Client> clients;
  std::vector<Upstream> upstreams;  // the first kUpstreamsMax are asked, in order
  std::uint32_t ttl_s = 600;        // Docker's
  bool operator==(const Desired&) const = default;
};
template <class Visit>
constexpr bool json_fields(const Desired*, Visit&& visit) {
  return visit("Version", &Desired::version) && visit("Networks", &Desired::networks) &&
         visit("Clients", &Desired::clients) && visit("Upstreams", &Desired::upstreams) &&
         visit("TTL", &Desired::ttl_s);
}

// Resolvers from the text of a resolv.conf(5): its `nameserver` lines, without 127.0.0.11 (that is ourselves).
[[nodiscard]] std::vector<Upstream> parse_resolv_conf(std::string_view text);

}  // namespace mesh::dns
