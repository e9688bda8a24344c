#include "bench/cost.h"

#include <chrono>
#include <cstdio>
#include <ctime>
#include <string>
#include <sys/resource.h>
#include <unistd.h>

#include "base/file.h"

namespace mesh::bench {

double processor_ms() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

double wall_ms() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Result<std::uint64_t> resident_bytes() {
  const std::string text = TRY(read_file("/proc/self/statm"));
  unsigned long long total = 0, resident = 0;
  if (std::sscanf(text.c_str(), "%llu %llu", &total, &resident) != 2) {
    return fail(ErrorKind::kInternal, "/proc/self/statm is not as expected");
  }
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

void want_many_files() {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
}

}  // namespace mesh::bench
