// Running a child process to its end and keeping what it said.
//
// Safe from any thread; blocks the caller, so the event loop hands it to its pool. The child gets its own process
// group, default signal handling and none of our descriptors but 0, 1 and 2. A grandchild that stays behind (conmon)
// is not waited for, even if it keeps the output pipes open.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/limits.h"
#include "base/result.h"

namespace mesh {

struct ProcessSpec {
  std::vector<std::string> argv;  // argv[0] is searched for in PATH
  // "NAME=value"; absent: our own environment, but without what the service manager told us alone (sd_notify(3)):
  // runtimes that find NOTIFY_SOCKET expect a container that notifies.
  std::optional<std::vector<std::string>> environment;
  std::vector<std::string> extra_environment;  // "NAME=value", besides those or instead
  std::string directory;                       // working directory; "": ours
  std::string stdin_text;                      // "": /dev/null
  Duration timeout = kProcessTimeout;
  std::size_t output_bytes_max = kProcessOutputBytesMax;  // of each stream; the rest is read and dropped
};

struct ProcessOutcome {
  int exit_status = 0;  // 0-255; 128 + signal if a signal ended it, as a shell says
  std::string out;
  std::string err;
  bool truncated = false;  // one of the streams was longer than output_bytes_max
};

// kNotFound: no such program (the message says which). kTimeout: its whole process group was killed.
// Ending with a non-zero status is an outcome, not an error.
[[nodiscard]] Result<ProcessOutcome> run_process(const ProcessSpec& spec);

// Standard output of a child that must succeed; otherwise kInternal with the command, its status and the last line of
// its standard error.
[[nodiscard]] Result<std::string> run_for_output(const ProcessSpec& spec);

}  // namespace mesh
