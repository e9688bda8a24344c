// The scheduler: gives pending tasks a node. Filters in Docker's order, each with its part of the explanation; among
// the nodes left, the one with the fewest tasks of the service, then the fewest tasks, then the lowest id; placement
// preferences divide evenly before that. No node: the task stays pending, says why, and is tried again at each change.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "control/manager/draft.h"

namespace mesh::manager {

// A node that keeps failing tasks of a service version is used last: Docker's numbers.
inline constexpr std::uint64_t kFailuresMax = 5;
inline constexpr Duration kFailureWindow = std::chrono::minutes(5);

// What the scheduler knows of one node while it places tasks.
struct Candidate {
  const model::Node* node = nullptr;
  std::int64_t nano_cpus_free = 0;
  std::int64_t memory_bytes_free = 0;
  std::uint64_t tasks = 0;                                // live
  std::map<std::string, std::uint64_t> tasks_of_service;  // live, by service
  std::map<std::string, std::uint64_t> failures;          // recent, by "service/spec version"
  std::vector<model::PublishedPort> host_ports;
};

enum class Filter : std::uint8_t { kReady, kResources, kPlugin, kConstraint, kPlatform, kHostPort, kMaxReplicas };
// The first filter that the node does not pass.
[[nodiscard]] std::optional<Filter> first_failing(const Candidate& candidate, const model::Task& task);
// "no suitable node (insufficient resources on 2 nodes; …)", the filter that rejects most first.
[[nodiscard]] std::string explain(const std::map<Filter, std::size_t>& rejected);

[[nodiscard]] std::map<std::string, Candidate> candidates_of(const store::View& view, Time now);
// The node for the task, or an empty id and the explanation.
struct Placed {
  std::string node_id;
  std::string why_not;
};
[[nodiscard]] Placed place(const std::map<std::string, Candidate>& candidates, const model::Task& task);

// Step: all pending live tasks, oldest first.
void schedule(Draft& draft);

}  // namespace mesh::manager
