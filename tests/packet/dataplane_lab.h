// A small cluster inside this test program: hosts as network namespaces on one switch, each with its own overlay and
// data plane, driven by values, without managers, containers or a daemon.
//
//    client 192.168.7.100 ──┐           ┌── host1 192.168.7.11 ── mv… ── eth0 of its tasks
//           fd07::100       ├── br0 ────┼── host2 192.168.7.12
//                           ┘ (switch)  └── host3 192.168.7.13
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/fd.h"
#include "dataplane/dataplane.h"
#include "vxlan/overlay.h"

namespace mesh::lab {

inline constexpr std::uint32_t kIngressVni = 4096;
inline constexpr std::uint32_t kBlueVni = 4097;  // a network with a virtual IP
inline constexpr std::uint32_t kRedVni = 4098;   // another one

// Runs a shell command; a failure throws with what it said.
std::string shell(const std::string& command);

// Namespaces, a BPF file system and a cgroup of this process's own, before its first test. Without root or cgroup2 the
// program exits with 77 and says which. Leaves nothing behind when the process ends regularly.
class OwnWorld : public testing::Environment {
 public:
  // `further`: a shell command inside.
  explicit OwnWorld(std::string further = "true") : further_(std::move(further)) {}
  void SetUp() override;
  void TearDown() override;

 private:
  std::string further_;
};
// The cgroup directory of this process: where socket hooks are attached.
const std::string& cgroup_directory();

struct Task {
  std::string id;
  std::uint16_t node = 1;
  int number = 0;                       // 10.0.0.(10+number) and so on
  std::vector<std::uint32_t> networks;  // besides ingress
  dataplane::EndpointState state = dataplane::EndpointState::kReady;
};

struct Host {
  std::uint16_t number = 0;
  std::string netns;  // path
  vxlan::Options overlay_options;
  dataplane::Options dataplane_options;
  std::unique_ptr<vxlan::Overlay> overlay;
  std::unique_ptr<dataplane::Dataplane> dataplane;
  dataplane::Desired desired;  // of the last apply()
  dataplane::Report report;    // ... and what it said
};

class Cluster {
 public:
  Cluster(int hosts, dataplane::UplinkMode mode);
  ~Cluster();
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  std::vector<Task> tasks;
  std::vector<std::uint16_t> ports = {8010};  // published, TCP and UDP, all tasks are backends of each; target 80
  std::uint32_t ring_version = 1;

  // Makes every host what `tasks` and `ports` say; each problem is a test failure.
  void apply();
  // As meshd does when it starts: new objects, same kernel.
  void restart(std::uint16_t host);

  Host& host(std::uint16_t number) { return *hosts_.at(number - 1U); }
  [[nodiscard]] std::string task_netns(const Task& task);
  [[nodiscard]] const std::string& client_netns() const { return client_netns_; }
  // Runs inside; exceptions come out.
  static void inside(const std::string& netns, const std::function<void()>& work);

 private:
  void wire(const std::string& name, int last_byte);
  [[nodiscard]] vxlan::Desired overlay_of(const Host& host) const;
  [[nodiscard]] dataplane::Desired dataplane_of(Host& host, const vxlan::Report& links) const;

  dataplane::UplinkMode mode_;
  std::string name_;  // before the names of its namespaces: clusters of both modes may live side by side
  std::vector<std::unique_ptr<Host>> hosts_;
  std::string client_netns_;
};

IpAddress address_of(const Task& task, std::uint32_t vni);
IpAddress address_v6_of(const Task& task);
IpAddress host_address(std::uint16_t number);
IpAddress host_address_v6(std::uint16_t number);
IpAddress virtual_ip(std::uint32_t vni);

// Answers on TCP and UDP port 80 of a task: "<task id> <peer address>:<peer port> <what it got>".
class Server {
 public:
  Server(std::string name, const std::string& netns);
  ~Server();

 private:
  void serve();
  std::string name_;
  Fd tcp_, udp_, stop_read_, stop_write_;
  std::thread thread_;
};

struct Answer {
  std::string task;
  std::string peer;  // "address:port" that the task saw
  std::string payload;
  std::string named;  // what getpeername() said at the client
  std::uint16_t client_port = 0;
};
// One request; nothing: refused, reset or timed out, with the reason in `error` if asked for. `source_port` 0: any.
std::optional<Answer> ask_tcp(const std::string& netns, const SocketAddress& to, const std::string& payload,
                              std::uint16_t source_port = 0, std::string* error = nullptr);
std::optional<Answer> ask_udp(const std::string& netns, const SocketAddress& to, const std::string& payload);

// A connection that stays open between requests.
class Connection {
 public:
  Connection(const std::string& netns, const SocketAddress& to);
  [[nodiscard]] bool open() const { return socket_.valid(); }
  std::optional<Answer> ask(const std::string& payload);

 private:
  Fd socket_;
};

}  // namespace mesh::lab
