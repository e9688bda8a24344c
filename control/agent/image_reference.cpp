#include "control/agent/image_reference.h"

#include <algorithm>

#include <fmt/format.h>

namespace mesh::agent {
namespace {

constexpr std::size_t kNameMax = 255;  // distribution/reference: NameTotalLengthMax
constexpr std::size_t kTagMax = 128;

bool is_lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool is_word(char c) { return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z') || c == '_'; }

// [a-z0-9]+ parts joined by one '.', one or two '_', or any number of '-'.
bool is_path_component(std::string_view text) {
  if (text.empty() || !is_lower_or_digit(text.front()) || !is_lower_or_digit(text.back())) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (is_lower_or_digit(c) || c == '-') continue;
    if (c == '.' && is_lower_or_digit(text[i + 1])) continue;
    if (c == '_' && is_lower_or_digit(text[i + 1])) continue;
    if (c == '_' && text[i + 1] == '_' && text[i - 1] != '_') continue;
    return false;
  }
  return true;
}

bool is_domain(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return is_word(c) || c == '.' || c == ':' || c == '-' || c == '[' || c == ']';
  });
}

bool is_tag(std::string_view text) {
  if (text.empty() || text.size() > kTagMax || !is_word(text.front())) return false;
  return std::ranges::all_of(text, [](char c) { return is_word(c) || c == '.' || c == '-'; });
}

std::unexpected<Error> invalid(std::string_view text, std::string_view why) {
  return fail(ErrorKind::kInvalid, fmt::format("invalid reference format: image \"{}\": {}", text, why));
}

}  // namespace

bool is_digest(std::string_view text) {
  constexpr std::string_view kPrefix = "sha256:";
  if (!text.starts_with(kPrefix) || text.size() != kPrefix.size() + 64) return false;
  return std::ranges::all_of(text.substr(kPrefix.size()),
                             [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

Result<ImageReference> ImageReference::parse(std::string_view text) {
  if (text.empty()) return invalid(text, "the name is empty");
  ImageReference reference;
  std::string_view rest = text;
  if (const auto at = rest.find('@'); at != std::string_view::npos) {
    reference.digest = rest.substr(at + 1);
    rest = rest.substr(0, at);
    if (!is_digest(reference.digest)) return invalid(text, "after \"@\" stands sha256: and 64 hexadecimal digits");
  }
  const auto slash = rest.rfind('/');
  if (const auto colon = rest.rfind(':');
      colon != std::string_view::npos && (slash == std::string_view::npos || colon > slash)) {
    reference.tag = rest.substr(colon + 1);
    rest = rest.substr(0, colon);
    if (!is_tag(reference.tag)) return invalid(text, fmt::format("\"{}\" is not a tag", reference.tag));
  }
  // The part before the first slash is a registry only if it looks like one.
  const auto first = rest.find('/');
  const std::string_view head = first == std::string_view::npos ? std::string_view{} : rest.substr(0, first);
  const bool has_domain = head == "localhost" || head.find_first_of(".:") != std::string_view::npos ||
                          std::ranges::any_of(head, [](char c) { return c >= 'A' && c <= 'Z'; });
  reference.domain = has_domain ? std::string(head) : std::string("docker.io");
  if (reference.domain == "index.docker.io") reference.domain = "docker.io";
  reference.repository = has_domain ? rest.substr(first + 1) : rest;
  if (!is_domain(reference.domain)) return invalid(text, "the registry's name has a wrong character");
  if (reference.repository.size() > kNameMax) return invalid(text, "the name is longer than 255 characters");
  for (std::string_view path = reference.repository;;) {
    const auto end = path.find('/');
    if (!is_path_component(path.substr(0, end))) {
      return invalid(text, "a repository name is lower-case letters and digits, separated by . _ __ - or /");
    }
    if (end == std::string_view::npos) break;
    path.remove_prefix(end + 1);
  }
  if (reference.domain == "docker.io" && reference.repository.find('/') == std::string::npos) {
    reference.repository.insert(0, "library/");
  }
  if (reference.tag.empty() && reference.digest.empty()) reference.tag = "latest";
  return reference;
}

std::string ImageReference::name() const { return domain + "/" + repository; }

std::string ImageReference::familiar_name() const {
  if (domain != "docker.io") return name();
  constexpr std::string_view kOfficial = "library/";
  return repository.starts_with(kOfficial) ? repository.substr(kOfficial.size()) : repository;
}

std::string ImageReference::familiar() const {
  return familiar_name() + (tag.empty() ? "" : ":" + tag) + (digest.empty() ? "" : "@" + digest);
}

std::string ImageReference::to_string() const {
  return name() + (tag.empty() ? "" : ":" + tag) + (digest.empty() ? "" : "@" + digest);
}

std::string ImageReference::transport_name() const { return name() + (digest.empty() ? ":" + tag : "@" + digest); }

}  // namespace mesh::agent
