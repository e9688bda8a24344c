// What the API and meshd need to know of this host itself, whatever the cluster is: its containers and images, and what
// its kernel really holds. Implemented by the agent, by a fake in tests.
//
// Everything is called, and calls back, on the loop's thread; no call blocks. A `done` callback is called exactly once,
// never before the call returned. The object outlives the calls made on it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "control/api/node_metrics.h"
#include "control/model/endpoint_table.h"

namespace mesh::api {

struct ContainerCounts {
  std::uint32_t running = 0;
  std::uint32_t paused = 0;
  std::uint32_t stopped = 0;
};

// Limits of services that this host's cgroups can enforce.
struct LimitSupport {
  bool memory = true;
  bool cpu = true;
  bool pids = true;
};

// An interface that carries client and tunnel traffic, and how the programs run there.
struct UplinkState {
  std::string name;
  std::string mode;  // "xdp", "tc"
  std::string why;
  std::vector<IpAddress> addresses;
  std::uint16_t mtu = 0;
};
template <class Visit>
constexpr bool json_fields(const UplinkState*, Visit&& visit) {
  using U = UplinkState;
  return visit("Name", &U::name) && visit("Mode", &U::mode) && visit("Why", &U::why) &&
         visit("Addresses", &U::addresses) && visit("MTU", &U::mtu);
}

// Docker's sentences for those that are not there: "No memory limit support".
[[nodiscard]] inline std::vector<std::string> limit_warnings(const LimitSupport& limits) {
  std::vector<std::string> warnings;
  if (!limits.memory) warnings.emplace_back("No memory limit support");
  if (!limits.cpu) warnings.emplace_back("No cpu cfs quota support");
  if (!limits.pids) warnings.emplace_back("No pids limit support");
  return warnings;
}

// An image of this host's store. `id` and the digests are "sha256:…"; tags and digests are full references as the user
// knows them ("nginx:1.27", "nginx@sha256:…": no "docker.io/library/").
struct ImageSummary {
  std::string id;
  std::vector<std::string> repo_tags;
  std::vector<std::string> repo_digests;
  Time created{};
  std::uint64_t size_bytes = 0;
  std::map<std::string, std::string> labels;
};

struct ImageDetail {
  ImageSummary summary;
  std::string architecture, os, author;
  std::vector<std::string> layers;  // diff ids
  Json config;                      // the image's "config" object, keys as in Docker's ContainerConfig
};

// Credentials as the CLI sends them in X-Registry-Auth (base64url JSON), decoded. Empty: none.
struct RegistryAuth {
  std::string username, password, server_address, identity_token;
  [[nodiscard]] bool empty() const { return username.empty() && identity_token.empty(); }
};

// One line of a pull's progress. `id`: short layer digest, or empty for a line about the whole image.
struct PullProgress {
  std::string id;
  std::string status;  // "Pulling fs layer", "Download complete", "Digest: sha256:…"
  std::uint64_t current = 0;
  std::uint64_t total = 0;  // 0: unknown
};

// What a registry says of a reference, without pulling it.
struct RemoteImage {
  std::string digest;      // of the manifest or index that the tag points at
  std::string media_type;  // of that document
  std::uint64_t size_bytes = 0;
  struct Platform {
    std::string architecture, os, variant;
  };
  std::vector<Platform> platforms;
};

// What `meshctl dataplane …` asks for: read from the kernel, each part with "Desired" beside "Kernel".
enum class DataplanePart : std::uint8_t { kStatus, kServices, kBackends, kFlows, kDrops };

class LocalNode {
 public:
  virtual ~LocalNode() = default;

  [[nodiscard]] virtual ContainerCounts container_counts() const = 0;
  [[nodiscard]] virtual LimitSupport limits() const = 0;
  [[nodiscard]] virtual std::vector<UplinkState> uplinks() const = 0;

  [[nodiscard]] virtual std::vector<ImageSummary> images() const = 0;
  // By reference ("nginx", "nginx:1.27", "nginx@sha256:…"), id or unique prefix of an id. kNotFound otherwise.
  [[nodiscard]] virtual Result<ImageDetail> image(std::string_view name) const = 0;
  // Brings an image here. `progress` any number of times, then `done` with the digest that was pulled. Errors name the
  // registry: kNotFound (no such image), kUnauthorized, kUnavailable (registry not reachable).
  virtual void pull_image(const std::string& reference, const RegistryAuth& auth,
                          std::function<void(const PullProgress&)> progress,
                          std::function<void(Result<std::string>)> done) = 0;
  // Asks the registry what a reference is; changes nothing here.
  virtual void resolve_image(const std::string& reference, const RegistryAuth& auth,
                             std::function<void(Result<RemoteImage>)> done) = 0;

  // The cluster's networks, as the manager's tables last said.
  [[nodiscard]] virtual std::vector<model::NetworkRow> networks() const = 0;

  // Reads the kernel. Each part is a JSON object; which keys it has is the data plane's business, documented there.
  virtual void dataplane(DataplanePart part, std::function<void(Result<Json>)> done) = 0;
  // Reads the kernel's counters; in no cluster there are none, which is no error.
  virtual void metrics(std::function<void(Result<NodeMetrics>)> done) = 0;
};

}  // namespace mesh::api
