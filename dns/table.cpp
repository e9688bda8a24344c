#include "dns/table.h"

#include <utility>

namespace mesh::dns {

Table::Table(Desired desired) : desired_(std::move(desired)) {
  for (const Network& network : desired_.networks) {
    Index& index = networks_[network.id];
    index.network = &network;
    for (const Name& name : network.names) index.names.emplace(name.name, &name);
    for (const Reverse& reverse : network.reverse) index.reverse.emplace(reverse.address, &reverse);
  }
  for (const Client& client : desired_.clients) {
    if (!client.address.is_unset()) clients_.emplace(client.address, &client);
    if (!client.address_v6.is_unset()) clients_.emplace(client.address_v6, &client);
  }
}

const Client* Table::client(const IpAddress& source) const {
  const auto found = clients_.find(source);
  return found == clients_.end() ? nullptr : found->second;
}

const std::vector<IpAddress>* Table::find(const Client& client, const std::string& name) const {
  for (const std::string& id : client.network_ids) {
    const auto index = networks_.find(id);
    if (index == networks_.end()) continue;
    const auto& names = index->second.names;
    auto found = names.find(name);
    const std::string suffix = "." + index->second.network->name;
    if (found == names.end() && name.ends_with(suffix)) {
      found = names.find(name.substr(0, name.size() - suffix.size()));
    }
    if (found != names.end()) return &found->second->addresses;
  }
  return nullptr;
}

std::vector<std::string> Table::reverse(const Client& client, const IpAddress& address) const {
  std::vector<std::string> result;
  for (const std::string& id : client.network_ids) {
    const auto index = networks_.find(id);
    if (index == networks_.end()) continue;
    const auto [begin, end] = index->second.reverse.equal_range(address);
    for (auto it = begin; it != end; ++it) result.push_back(it->second->name);
  }
  return result;
}

}  // namespace mesh::dns
