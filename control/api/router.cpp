#include "control/api/router.h"

#include <array>

#include <fmt/format.h>

#include "base/log.h"
#include "base/text.h"

namespace mesh::api {
namespace {

// Takes "/v1.41" off the path. kInvalid: not spoken.
Status strip_version(std::string& path) {
  if (!path.starts_with("/v")) return {};
  const std::size_t end = path.find('/', 1);
  const std::string_view prefix = std::string_view(path).substr(2, end == std::string::npos ? end : end - 2);
  const std::size_t dot = prefix.find('.');
  const std::optional<int> major = parse_number<int>(prefix.substr(0, dot));
  const std::optional<int> minor =
      dot == std::string_view::npos ? std::nullopt : parse_number<int>(prefix.substr(dot + 1));
  if (!major || !minor) return {};  // a path that merely begins with v
  if (*major != 1 || *minor < kApiVersionMin) {
    return fail(ErrorKind::kInvalid,
                fmt::format("client version {} is too old. Minimum supported API version is 1.{}, please upgrade your "
                            "client to a newer version",
                            prefix, kApiVersionMin));
  }
  if (*minor > kApiVersionMax) {
    return fail(ErrorKind::kInvalid, fmt::format("client version {} is too new. Maximum supported API version is 1.{}",
                                                 prefix, kApiVersionMax));
  }
  path = end == std::string::npos ? "/" : path.substr(end);
  return {};
}

constexpr std::array kTables{&system_routes,  &swarm_routes, &node_routes, &service_routes, &task_routes,
                             &network_routes, &image_routes, &mesh_routes, &metric_routes,  &unsupported_routes};

// Keeps the head of an answer to HEAD.
class HeadOnly final : public Responder {
 public:
  explicit HeadOnly(ResponderPtr inner) : inner_(std::move(inner)) {}
  void send(Response response) override {
    response.body.clear();
    inner_->send(std::move(response));
  }
  void begin(Response head) override { send(std::move(head)); }
  void write(std::string) override {}
  void end() override {}
  [[nodiscard]] bool closed() const override { return inner_->closed(); }

 private:
  ResponderPtr inner_;
};

void run(const Route& route, Context& context, const Request& request, const ResponderPtr& responder) {
  if (route.answer_later != nullptr) return route.answer_later(context, request, responder);
  Result<Response> response = route.answer(context, request);
  responder->send(response ? std::move(*response) : error_response(response.error()));
}

}  // namespace

bool match_path(std::string_view pattern, std::string_view path, std::map<std::string, std::string>& captures) {
  const std::vector<std::string_view> wanted = split(pattern, '/');
  const std::vector<std::string_view> parts = split(path, '/');
  captures.clear();
  std::size_t at = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i, ++at) {
    const std::string_view want = wanted[i];
    if (at >= parts.size()) return false;
    if (!want.starts_with('{')) {
      if (want != parts[at]) return false;
      continue;
    }
    std::string value(parts[at]);
    std::string_view name = want.substr(1, want.size() - 2);
    if (name.ends_with('*')) {
      name.remove_suffix(1);
      const std::size_t after = wanted.size() - i - 1;
      while (at + 1 + after < parts.size()) value.append("/").append(parts[++at]);
    }
    if (value.empty()) return false;
    captures[std::string(name)] = std::move(value);
  }
  return at == parts.size();
}

Result<manager::Manager*> require_manager(Context& context) {
  if (manager::Manager* manager = context.swarm.manager(); manager != nullptr) return manager;
  const SwarmInfo info = context.swarm.info();
  if (info.state == SwarmState::kInactive) {
    return fail(ErrorKind::kUnavailable,
                "This node is not a swarm manager: it is in no swarm. Make one with \"swarm init\" or enter one with "
                "\"swarm join\", then try again.");
  }
  if (info.state == SwarmState::kError) return fail(ErrorKind::kUnavailable, "the swarm is in error: " + info.error);
  std::string where;
  for (const RemoteManager& manager : info.managers) where += (where.empty() ? "" : ", ") + manager.addr;
  return fail(ErrorKind::kUnavailable,
              "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Run the "
              "command on a manager" +
                  (where.empty() ? std::string(".") : ": " + where + "."));
}

void dispatch(Context& context, Request request, const ResponderPtr& responder) {
  const ResponderPtr to = request.method == "HEAD" ? std::make_shared<HeadOnly>(responder) : responder;
  const std::string method = request.method == "HEAD" ? "GET" : request.method;
  if (const Status version = strip_version(request.path); !version) return to->send(error_response(version.error()));
  bool other_method = false;
  for (const auto table : kTables) {
    for (const Route& route : table()) {
      if (!match_path(route.pattern, request.path, request.captures)) continue;
      if (route.method == method) return run(route, context, request, to);
      other_method = true;
    }
  }
  if (other_method) {
    return to->send(
        json_response(JsonObject{{"message", request.method + " is not possible on " + request.path}}, 405));
  }
  to->send(error_response({ErrorKind::kNotFound, "page not found: " + request.path}));
}

}  // namespace mesh::api
