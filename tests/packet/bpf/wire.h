// Three hosts, their containers and a client on real links, in namespaces of this program's own:
//
//     client 192.0.2.9 ─┐                     ┌─ c1 10.0.0.11  net 4100: 10.1.0.11     c4 10.0.0.14 net 4100, on host 1
//     h1     192.0.2.1 ─┤ bridge in "switch"  │  net 4101 (c4 only): 10.2.0.14
//     h2     192.0.2.2 ─┤  2001:db8::<n>/64   ├─ c2 10.0.0.12  net 4100: 10.1.0.12     on host 2
//     h3     192.0.2.3 ─┘                     └─ c3 10.0.0.13  net 4100: 10.1.0.13     on host 3
//
// Every container serves TCP and UDP on port 80: it answers what it was sent, after one line "<name> <client>\n".
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <vector>

#include "tests/packet/bpf/kernel.h"

namespace mesh::packet {

enum class WireMode { kXdp, kTc };

inline constexpr __u16 kPort = 8010;        // three backends
inline constexpr __u16 kSinglePort = 8011;  // one backend: c2

// Runs `body` on a thread inside the namespace and returns what it returns.
std::string inside(const std::string& netns, const std::function<std::string()>& body);

// The answer to `text` sent to `target` ("192.0.2.1", "2001:db8::1"), or "error: …" after two seconds.
std::string ask_tcp(const std::string& target, __u16 port, const std::string& text, __u16 source_port = 0);
std::string ask_udp(const std::string& target, __u16 port, const std::string& text, bool connected);
// First line: which container answered and whom it saw.
std::string first_line(const std::string& answer);

class Wire {
 public:
  explicit Wire(WireMode mode);
  ~Wire();
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  [[nodiscard]] Kernel& host(int number) { return *hosts_.at(static_cast<std::size_t>(number - 1)); }
  [[nodiscard]] std::string counters();  // all that are not zero, for messages

 private:
  void build_links();
  void load_host(int number);
  void serve(const std::string& netns);

  WireMode mode_;
  std::string cgroup_;
  std::vector<std::unique_ptr<Kernel>> hosts_;
  std::atomic<bool> stop_{false};
  std::vector<std::thread> servers_;
};

}  // namespace mesh::packet
