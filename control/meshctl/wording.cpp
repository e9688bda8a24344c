#include "control/meshctl/wording.h"

#include <algorithm>
#include <array>
#include <tuple>

#include <fmt/format.h>

namespace mesh::meshctl {
namespace {

std::string port_range(std::uint16_t first, std::uint16_t last) {
  return first == last ? fmt::format("{}", first) : fmt::format("{}-{}", first, last);
}

}  // namespace

std::string short_id(std::string_view id) {
  if (const auto colon = id.find(':'); colon != std::string_view::npos) id.remove_prefix(colon + 1);
  return std::string(id.substr(0, kShortId));
}

std::string titled(std::string_view word) {
  std::string out(word);
  if (!out.empty() && out[0] >= 'a' && out[0] <= 'z') out[0] = static_cast<char>(out[0] - 32);
  return out;
}

std::string ago(Time then, Time now) { return human_duration(std::max(now - then, Duration::zero())) + " ago"; }

std::string without_digest(std::string_view image) { return std::string(image.substr(0, image.find('@'))); }

std::string format_ports(const std::vector<model::PortConfig>& ports, model::PublishMode mode) {
  using Key = std::tuple<std::string, std::uint16_t, std::uint16_t>;
  std::vector<Key> sorted;
  for (const auto& port : ports) {
    const bool wanted = model::is_ingress(port) == (mode == model::PublishMode::kIngress);
    if (wanted && port.published_port != 0) {
      sorted.emplace_back(model::protocol_name(model::protocol_of(port)), port.published_port, port.target_port);
    }
  }
  std::ranges::sort(sorted);
  const auto repeated = std::ranges::unique(sorted);
  sorted.erase(repeated.begin(), repeated.end());

  std::string out;
  for (std::size_t begin = 0; begin < sorted.size();) {
    const auto& [protocol, published, target] = sorted[begin];
    std::size_t end = begin + 1;
    const auto follows = [&](std::size_t at) {
      const auto distance = static_cast<int>(at - begin);
      return std::get<0>(sorted[at]) == protocol && std::get<1>(sorted[at]) == published + distance &&
             std::get<2>(sorted[at]) == target + distance;
    };
    while (end < sorted.size() && follows(end)) ++end;
    const auto& last = sorted[end - 1];
    out += fmt::format("{}*:{}->{}/{}", out.empty() ? "" : ", ", port_range(published, std::get<1>(last)),
                       port_range(target, std::get<2>(last)), protocol);
    begin = end;
  }
  return out;
}

std::string format_replicas(const model::Service& service) {
  const auto status = service.service_status.value_or(model::ServiceStatus{});
  std::string out = fmt::format("{}/{}", status.running_tasks, status.desired_tasks);
  const auto& mode = service.spec.mode;
  if (mode.replicated_job) {
    return out + fmt::format(" ({}/{} completed)", status.completed_tasks,
                             mode.replicated_job->total_completions.value_or(1));
  }
  const auto& placement = service.spec.task_template.placement;
  if (placement && placement->max_replicas > 0) out += fmt::format(" (max {} per node)", placement->max_replicas);
  return out;
}

std::string mode_name(const model::ServiceSpec& spec) {
  if (spec.mode.global) return "global";
  if (spec.mode.replicated_job) return "replicated job";
  if (spec.mode.global_job) return "global job";
  return "replicated";
}

std::string format_size(std::uint64_t bytes) {
  constexpr std::array<const char*, 5> kUnits{"B", "kB", "MB", "GB", "TB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1000 && unit + 1 < kUnits.size(); ++unit) value /= 1000;
  return fmt::format("{:.3g}{}", value, kUnits[unit]);
}

std::string format_memory(std::int64_t bytes) {
  constexpr std::array<const char*, 5> kUnits{"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  return fmt::format("{:.4g}{}", value, kUnits[unit]);
}

}  // namespace mesh::meshctl
