// What users write after a flag, turned into values. Every error names the flag's text and what is expected.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "base/result.h"
#include "control/model/mount.h"
#include "control/model/port.h"
#include "control/model/service.h"

namespace mesh::meshctl {

// One PortConfig per port of a range, and the address or interface that they are published on, if one was given.
struct WantedPorts {
  std::vector<model::PortConfig> ports;
  std::optional<IpAddress> address;
  std::string interface;
};
// "8010:80", "8010:80/udp", "80", "8000-8002:80-82/tcp", "10.0.0.5:8010:80", "[2001:db8::5]:8010:80",
// "eth1:8010:80",
// "published=8010,target=80,protocol=udp,mode=host".
[[nodiscard]] Result<WantedPorts> parse_publish(std::string_view text);
// "8010" or "8010/udp", of unpublish.
[[nodiscard]] Result<model::PortConfig> parse_published(std::string_view text);
// "0.5" CPUs in 1e-9 of one.
[[nodiscard]] Result<std::int64_t> parse_cpus(std::string_view text);
// "64M", "1g", "512kb", "1.5GiB", "1024": units of 1024.
[[nodiscard]] Result<std::int64_t> parse_bytes(std::string_view text);
// "key=value"; "key" alone has an empty value.
[[nodiscard]] std::pair<std::string, std::string> parse_label(std::string_view text);
// "backend" or "name=backend,alias=db,alias=store".
[[nodiscard]] Result<model::NetworkAttachmentConfig> parse_network(std::string_view text);
// "type=bind,source=/a,target=/b,readonly".
[[nodiscard]] Result<model::Mount> parse_mount(std::string_view text);
// "spread=node.labels.zone".
[[nodiscard]] Result<model::PlacementPreference> parse_preference(std::string_view text);
// "name=web", for the API's filters.
[[nodiscard]] Result<std::pair<std::string, std::string>> parse_filter(std::string_view text);
// The filters of all flags as the API takes them: {"name":["web"]}, or "" without any.
[[nodiscard]] Result<std::string> parse_filters(const std::vector<std::string>& texts);
// "web=3".
[[nodiscard]] Result<std::pair<std::string, std::uint64_t>> parse_scale(std::string_view text);
// As a shell splits words: blanks, 'single', "double" with backslash, backslash.
[[nodiscard]] Result<std::vector<std::string>> split_shell_words(std::string_view text);
// Lines "KEY=value" or "KEY" (taken from `environment`), # comments.
[[nodiscard]] Result<std::vector<std::string>> parse_env_file(std::string_view content);

// An enum of the API from its name; `flag` and the allowed names are in the error.
template <class E>
[[nodiscard]] Result<E> parse_choice(std::string_view flag, std::string_view text) {
  std::string allowed;
  for (const auto& entry : json_names(static_cast<const E*>(nullptr))) {
    if (entry.name[0] == '\0') continue;
    if (text == entry.name) return entry.value;
    allowed.append(allowed.empty() ? "" : ", ").append(entry.name);
  }
  return fail(ErrorKind::kInvalid, std::string(flag) + ": \"" + std::string(text) + "\" is not one of " + allowed);
}

}  // namespace mesh::meshctl
