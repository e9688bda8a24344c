#include "control/meshd/lock.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"

namespace mesh::meshd {

Result<Fd> lock_data_dir(const std::string& data_dir) {
  TRY_IN("--data-dir", make_directories(data_dir, 0711));
  const std::string path = data_dir + "/meshd.lock";
  Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!fd) return fail_errno("open " + path, errno);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return fail_errno("lock " + path, errno);
    const Result<std::string> pid = read_file(path, 64);
    return fail(ErrorKind::kConflict, "another meshd (pid " + std::string(pid ? trim(*pid) : "unknown") + ") uses " +
                                          data_dir + "; stop it, or give this one another --data-dir");
  }
  const std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(fd.get(), 0) != 0 || ::pwrite(fd.get(), pid.data(), pid.size(), 0) < 0) {
    return fail_errno("write " + path, errno);
  }
  return fd;
}

}  // namespace mesh::meshd
