// Steady numbered traffic: a few UDP sockets and TCP connections that ask and check every answer, without a pause,
// until they are told to stop. Nothing may be lost. A TCP segment that was sent again although the first one had
// arrived (its receiver then says so, RFC 2883) was late, as on a busy machine.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/address.h"
#include "base/fd.h"

namespace mesh::lab {

class SteadyTraffic {
 public:
  struct Way {
    std::string netns;
    SocketAddress to;  // IPv4
    bool tcp = false;
    std::string name;
  };
  // Every way is open and has been answered once; a failure throws. `netns`: of everyone who sends.
  SteadyTraffic(const std::vector<Way>& ways, const std::vector<std::string>& netns);
  ~SteadyTraffic();

  struct Outcome {
    std::uint64_t answered = 0;
    std::uint64_t late = 0;
    std::vector<std::string> problems;  // what was lost or came from elsewhere
  };
  // ... or the first problem.
  void wait_for_answers(std::uint64_t more);
  // Ends the traffic.
  [[nodiscard]] Outcome stop();

 private:
  struct Flow {
    Way way;
    Fd socket;
    std::uint64_t number = 0;
    std::string input;
  };
  void run();
  void ask(Flow& flow);
  void hear(Flow& flow);
  void note(const std::string& name, const std::string& what);

  std::vector<Flow> flows_;
  struct Resent {
    std::uint64_t segments = 0, needless = 0;
  };
  [[nodiscard]] static Resent resent(const std::string& netns);
  [[nodiscard]] static Resent wait_for_all_needless(const std::string& netns, const Resent& before);
  std::map<std::string, Resent> resent_before_;  // by network namespace
  std::atomic<std::uint64_t> answered_ = 0;
  std::atomic<bool> stopping_ = false, troubled_ = false;
  std::mutex mutex_;
  std::condition_variable news_;  // more answers, or trouble
  std::vector<std::string> problems_;
  std::thread thread_;
};

}  // namespace mesh::lab
