#include "base/log.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>

namespace mesh {
namespace {

// Whether stderr is the journal's own stream (systemd.exec(5), $JOURNAL_STREAM is "device:inode").
bool stderr_is_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat status{};
  return stream != nullptr && ::fstat(STDERR_FILENO, &status) == 0 &&
         fmt::format("{}:{}", status.st_dev, status.st_ino) == stream;
}

}  // namespace

Status set_up_log(std::string_view level) {
  constexpr std::array<std::pair<std::string_view, spdlog::level::level_enum>, 5> kLevels{{
      {"trace", spdlog::level::trace},
      {"debug", spdlog::level::debug},
      {"info", spdlog::level::info},
      {"warn", spdlog::level::warn},
      {"error", spdlog::level::err},
  }};
  const auto* found = std::find_if(kLevels.begin(), kLevels.end(), [&](const auto& l) { return l.first == level; });
  if (found == kLevels.end()) {
    return fail(ErrorKind::kInvalid,
                fmt::format("log level \"{}\" does not exist: use trace, debug, info, warn or error", level));
  }
  auto logger = std::make_shared<spdlog::logger>("meshd", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_pattern(stderr_is_journal() ? "%l %v" : "%Y-%m-%dT%H:%M:%S.%e%z %l %v");
  logger->set_level(found->second);
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
  return {};
}

}  // namespace mesh
