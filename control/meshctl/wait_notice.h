// Nobody shall wonder for longer than a second what a command is doing.
#pragma once

#include <string>
#include <thread>

namespace mesh::meshctl {

// "waiting for WHAT ..." on standard error, once, if it lives for more than a second.
class WaitNotice {
 public:
  explicit WaitNotice(std::string what);

 private:
  std::jthread thread_;
};

}  // namespace mesh::meshctl
