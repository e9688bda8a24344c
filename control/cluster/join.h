// Joining: a host with a token becomes a node. The joiner connects with TLS 1.3, checks that the root certificate shown
// is the one its token pins, and only then sends the secret and a certificate request (POST /join, JSON). The manager
// derives the role from the secret, chooses the node id and signs.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "control/cluster/identity.h"

namespace boost::asio {
class io_context;
}

namespace mesh::cluster {

struct JoinRequest {
  std::string secret;
  std::string request;       // certificate request, PEM
  std::string hostname;      // for the manager's log and the node list until the node's first hello
  std::string availability;  // "": active; pause, drain: as it should be from the start
};
template <class Visit>
constexpr bool json_fields(const JoinRequest*, Visit&& visit) {
  return visit("Secret", &JoinRequest::secret) && visit("Request", &JoinRequest::request) &&
         visit("Hostname", &JoinRequest::hostname) && visit("Availability", &JoinRequest::availability, kOmitEmpty);
}

struct JoinAnswer {
  std::string certificate;  // PEM; its subject has node id, role and cluster id
};
template <class Visit>
constexpr bool json_fields(const JoinAnswer*, Visit&& visit) {
  return visit("Certificate", &JoinAnswer::certificate);
}

// The two secrets in force.
struct JoinSecrets {
  std::string worker, manager;
};
// kUnauthorized if it is neither (wrong, or rotated away). Compares both, each in constant time.
[[nodiscard]] Result<Role> role_of_secret(const JoinSecrets& secrets, std::string_view secret);

// What a joiner says of itself.
struct Joiner {
  std::string hostname;
  std::string availability;
};

// Tries the managers in turn; `done` is called once, from the loop, with the new identity (not yet saved).
// kUnauthorized: another cluster's root, or a wrong secret. kUnavailable: nobody answers; the last reason is given.
void join_cluster(boost::asio::io_context& loop, std::vector<SocketAddress> managers, const JoinToken& token,
                  Joiner joiner, std::function<void(Result<NodeIdentity>)> done);

}  // namespace mesh::cluster
