// How values read in tables: ids, states, ages, ports, images, sizes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "control/model/node.h"
#include "control/model/port.h"
#include "control/model/service.h"
#include "control/model/task.h"

namespace mesh::meshctl {

inline constexpr std::size_t kShortId = 12;

[[nodiscard]] std::string short_id(std::string_view id);
// "running" -> "Running".
[[nodiscard]] std::string titled(std::string_view word);
// "5 seconds ago"; "Less than a second ago" also for clocks that disagree.
[[nodiscard]] std::string ago(Time then, Time now);
// "nginx:1.27@sha256:…" -> "nginx:1.27".
[[nodiscard]] std::string without_digest(std::string_view image);
// "*:8010->80/tcp, *:9000-9002->9000-9002/udp": neighbours as ranges, by protocol and port. One mode only.
[[nodiscard]] std::string format_ports(const std::vector<model::PortConfig>& ports, model::PublishMode mode);
// "2/3", "2/3 (max 1 per node)", "1/1 (3/5 completed)".
[[nodiscard]] std::string format_replicas(const model::Service& service);
// "replicated", "global", "replicated job", "global job".
[[nodiscard]] std::string mode_name(const model::ServiceSpec& spec);
// "12.3MB": three digits, decimal units, as docker image ls.
[[nodiscard]] std::string format_size(std::uint64_t bytes);
// "1.5GiB" for limits and host memory.
[[nodiscard]] std::string format_memory(std::int64_t bytes);
// The name of an enum's value as the API writes it.
template <class E>
[[nodiscard]] std::string name_of(E value) {
  for (const auto& entry : json_names(static_cast<const E*>(nullptr))) {
    if (entry.value == value) return entry.name;
  }
  return "unknown";
}

}  // namespace mesh::meshctl
