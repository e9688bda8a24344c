#include "vxlan/notes.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"

namespace mesh::vxlan {
namespace {

struct NotesFile {
  std::vector<Note> sysctls;
  std::vector<std::uint16_t> reserved_ports;
};
template <class Visit>
constexpr bool json_fields(const NotesFile*, Visit&& visit) {
  return visit("Sysctls", &NotesFile::sysctls) && visit("ReservedPorts", &NotesFile::reserved_ports);
}

}  // namespace

template <class Visit>
constexpr bool json_fields(const Note*, Visit&& visit) {
  return visit("Path", &Note::path) && visit("Before", &Note::before) && visit("Ours", &Note::ours);
}

Result<Notes> Notes::load(const std::string& run_dir) {
  Notes notes;
  notes.path_ = run_dir + "/overlay.json";
  const Result<std::string> text = read_file(notes.path_);
  if (!text) {
    if (text.error().kind == ErrorKind::kNotFound) return notes;
    return std::unexpected(text.error());
  }
  const NotesFile file = TRY_IN(notes.path_, decode_text<NotesFile>(*text));
  notes.sysctls_ = file.sysctls;
  notes.reserved_ports_ = {file.reserved_ports.begin(), file.reserved_ports.end()};
  return notes;
}

Status Notes::remember(const std::string& path, const std::string& before, const std::string& ours) {
  const auto known = std::ranges::find(sysctls_, path, &Note::path);
  if (known == sysctls_.end()) {
    sysctls_.push_back({path, before, ours});
  } else if (known->ours == ours) {
    return {};
  } else {
    known->ours = ours;
  }
  return save();
}

Status Notes::remember_ports(const std::set<std::uint16_t>& ours) {
  reserved_ports_ = ours;
  return save();
}

Status Notes::save() const {
  const NotesFile file{sysctls_, {reserved_ports_.begin(), reserved_ports_.end()}};
  return write_file(path_, to_pretty_text(encode(file)), 0600);
}

Status Notes::remove() { return remove_tree(path_); }

std::set<std::uint16_t> parse_ports(const std::string& text) {
  std::set<std::uint16_t> ports;
  for (const std::string_view part : split(trim(text), ',')) {
    const std::vector<std::string_view> ends = split(part, '-');
    const auto first = parse_number<std::uint16_t>(trim(ends.front()));
    const auto last = parse_number<std::uint16_t>(trim(ends.back()));
    if (!first || !last) continue;
    for (std::uint32_t port = *first; port <= *last; ++port) ports.insert(static_cast<std::uint16_t>(port));
  }
  return ports;
}

std::string format_ports(const std::set<std::uint16_t>& ports) {
  std::string text;
  for (auto port = ports.begin(); port != ports.end();) {
    const std::uint16_t first = *port;
    std::uint16_t last = first;
    for (++port; port != ports.end() && *port == last + 1; ++port) last = *port;
    if (!text.empty()) text += ',';
    text += first == last ? fmt::format("{}", first) : fmt::format("{}-{}", first, last);
  }
  return text;
}

}  // namespace mesh::vxlan
