// What meshd changed of the host's own settings, written down before the change, so that cleanup puts back what was
// there before the first of any number of meshd runs. <run_dir>/overlay.json; gone with the settings at a reboot.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"

namespace mesh::vxlan {

struct Note {
  std::string path;    // below /proc/sys
  std::string before;  // the value that was found
  std::string ours;    // the value that was written
};

class Notes {
 public:
  // Absent file: empty. An unreadable one is kInternal with its path.
  [[nodiscard]] static Result<Notes> load(const std::string& run_dir);

  // Keeps the first `before` of a path; writes the file.
  [[nodiscard]] Status remember(const std::string& path, const std::string& before, const std::string& ours);
  [[nodiscard]] Status remember_ports(const std::set<std::uint16_t>& ours);
  [[nodiscard]] const std::vector<Note>& sysctls() const { return sysctls_; }
  [[nodiscard]] const std::set<std::uint16_t>& reserved_ports() const { return reserved_ports_; }
  [[nodiscard]] Status remove();

 private:
  [[nodiscard]] Status save() const;

  std::string path_;
  std::vector<Note> sysctls_;
  std::set<std::uint16_t> reserved_ports_;
};

// ip_local_reserved_ports: "80,1000-1002" and back. Pure.
[[nodiscard]] std::set<std::uint16_t> parse_ports(const std::string& text);
[[nodiscard]] std::string format_ports(const std::set<std::uint16_t>& ports);

inline constexpr const char* kReservedPortsPath = "net/ipv4/ip_local_reserved_ports";

}  // namespace mesh::vxlan
