// The shell of the overlay: makes the kernel's links, addresses, routes, firewall rules and sysctls what Desired says.
//
//   Overlay overlay = TRY(Overlay::open({}));
//   Report report = TRY(overlay.reconcile(desired));      // observe · plan · apply
//   report.links.at(task_id).ifindex                      // attach programs there
//
// Blocking system calls, microseconds each (a first task link: about 2 ms); to be called from one thread.
// What meshd changed in the host (sysctls, reserved ports) is noted in `run_dir`, so that cleanup() can put it back
// after any number of restarts. Task namespaces and everything in them survive meshd.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "vxlan/desired.h"

namespace mesh::vxlan {

struct Options {
  std::string run_dir = "/run/meshd";  // task namespaces in <run_dir>/netns/<task id>; notes in <run_dir>/overlay.json
};

// Where a task of this host is attached, once its link is complete.
struct LinkState {
  std::uint32_t ifindex = 0;       // host side
  std::uint64_t netns_cookie = 0;  // SO_NETNS_COOKIE
};

// One part that is not as desired and why; the rest was applied. `subject`: "task <id>", "mesh0", "firewall" …
struct Problem {
  std::string subject;
  std::string message;
};

struct Report {
  std::map<std::string, LinkState> links;  // by task id; a task that is missing here is in `problems`
  std::uint32_t mesh_ifindex = 0;          // mesh0; 0 without a gateway
  std::uint32_t mesh_peer_ifindex = 0;     // mesh1
  std::vector<Problem> problems;
  std::size_t actions = 0;  // applied by this call
};

class Overlay {
 public:
  [[nodiscard]] static Result<Overlay> open(Options options);

  // kDirty trusts task links that an earlier call of this object found complete and whose Desired did not change;
  // kFull looks at everything (at start and every N seconds: its `actions` are the drift).
  enum class Pass : std::uint8_t { kDirty, kFull };
  [[nodiscard]] Result<Report> reconcile(const Desired& desired, Pass pass = Pass::kDirty);

  // What a full pass would do now, one line each; changes nothing.
  [[nodiscard]] Result<std::vector<std::string>> differences(const Desired& desired) const;

  // Removes every trace: links mesh* and mv*, task namespaces, firewall table, neighbour entries, sysctl changes.
  // Goes on after an error and reports all of them in one message. Nothing there is success.
  [[nodiscard]] static Status cleanup(const Options& options);

  Overlay(Overlay&&) noexcept;
  Overlay& operator=(Overlay&&) noexcept;
  ~Overlay();

 private:
  struct State;
  explicit Overlay(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// The name of a task's host-side interface: "mv" and eight hex digits of a hash of its id.
[[nodiscard]] std::string host_interface_name(const std::string& task_id);
// Where its namespace is: <run_dir>/netns/<task id>.
[[nodiscard]] std::string netns_path(const Options& options, const std::string& task_id);

// A new network namespace, bind-mounted at `path` (its directory is made); lo is up. Present already: success.
[[nodiscard]] Status create_netns(const std::string& path);
// Unmounts and removes. Absent: success. The namespace itself lives until its last process is gone.
[[nodiscard]] Status delete_netns(const std::string& path);

}  // namespace mesh::vxlan
