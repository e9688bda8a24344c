// The names that this host's mesh-dns answers: plain values. Who asks is known by its ingress address; it sees the names
// of its own networks only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/clock.h"

namespace mesh::dns {

// A name on one network. Service: the VIP; "tasks.<service>": every running healthy task; a task's container name, id
// prefix and hostname: its address. Names are stored in lower case without a final dot.
struct Name {
  std::string name;
  std::vector<IpAddress> addresses;  // v4 and v6; an empty family answers NOERROR without data
};

// Reverse names: address -> "image-gallery.1.<task id>.<network name>".
struct Reverse {
  IpAddress address;
  std::string name;
};

struct Network {
  std::string id;
  std::string name;
  std::vector<Name> names;
  std::vector<Reverse> reverse;
};

// A local task that may ask. `address` and `address_v6` are its ingress addresses (source of its queries).
struct Client {
  IpAddress address, address_v6;
  std::vector<std::string> network_ids;  // in the order of the task's attachments: first match wins
};

struct Desired {
  std::uint64_t version = 0;  // grows with each change; mesh-dns reports the one it answers from
  std::vector<Network> networks;
  std::vector<Client> clients;
  std::vector<SocketAddress> upstreams;  // the host's resolvers, at most 3
  Duration ttl = std::chrono::seconds(600);
};

}  // namespace mesh::dns
