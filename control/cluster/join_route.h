// POST /join, the one route of the cluster port without a certificate: rate-limited, counted, answered as JSON.
#pragma once

#include <functional>

#include "control/cluster/http.h"
#include "control/cluster/manager_server.h"
#include "control/cluster/rate_limit.h"

namespace mesh::cluster {

class JoinRoute {
 public:
  using SignIn = std::function<Result<JoinAnswer>(const JoinRequest&, const SocketAddress& from)>;

  // `counters` outlive it.
  JoinRoute(SignIn sign_in, const ManagerServer::Options& options, ServerCounters& counters);

  [[nodiscard]] HttpResponse answer(const HttpRequest& request, const SocketAddress& from);

 private:
  SignIn sign_in_;
  RateLimit limit_;
  ServerCounters& counters_;
};

}  // namespace mesh::cluster
