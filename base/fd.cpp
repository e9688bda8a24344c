#include "base/fd.h"

#include <unistd.h>

namespace mesh {

void Fd::reset(int fd) {
  // After EINTR Linux has closed the descriptor already: never retry (close(2)).
  if (fd_ >= 0) (void)::close(fd_);
  fd_ = fd;
}

}  // namespace mesh
