// The names of this host, indexed for answering. Built whole from a Desired; immutable, so answering needs no lock.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "dns/desired.h"

namespace mesh::dns {

class Table {
 public:
  // Shares nothing with `desired` afterwards.
  explicit Table(Desired desired);

  [[nodiscard]] std::uint64_t version() const { return desired_.version; }
  [[nodiscard]] const Desired& desired() const { return desired_; }
  // The task that asks from this source address; null: nobody of ours.
  [[nodiscard]] const Client* client(const IpAddress& source) const;
  // `name` on the client's networks, first match; also as "<name>.<network name>". Null: not a name of the cluster.
  [[nodiscard]] const std::vector<IpAddress>* find(const Client& client, const std::string& name) const;
  // Names of an address on the client's networks.
  [[nodiscard]] std::vector<std::string> reverse(const Client& client, const IpAddress& address) const;

 private:
  struct Index {
    const Network* network = nullptr;
    std::unordered_map<std::string, const Name*> names;
    std::multimap<IpAddress, const Reverse*> reverse;
  };

  Desired desired_;
  std::unordered_map<std::string, Index> networks_;  // by id
  std::map<IpAddress, const Client*> clients_;
};

}  // namespace mesh::dns
