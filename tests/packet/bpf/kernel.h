// The programs in the kernel: loaded without pinning, run by BPF_PROG_TEST_RUN or attached to links.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/packet/bpf/tables.h"

struct mesh_bpf;

namespace mesh::packet {

using Bytes = std::vector<std::uint8_t>;

struct Outcome {
  int verdict = 0;
  Bytes frame;  // as the program left it
  // BPF_PROG_TEST_RUN takes no skb that is cut inside its IP header; a driver may deliver one all the same.
  bool refused = false;
};

class Kernel : public Tables {
 public:
  // Loads everything; a failure is printed with the verifier's last words and ends the process.
  Kernel();
  ~Kernel() override;

  void put(const std::string& map, const void* key, const void* value) override;
  void erase(const std::string& map, const void* key) override;
  bool get(const std::string& map, const void* key, void* value) override;
  __u64 total(const std::string& map, __u32 index) override;

  // What is counted of a backend, of all CPUs.
  [[nodiscard]] mesh_binding_traffic traffic(__u32 binding);

  // gso_size 0: an ordinary packet. The packet arrives on ifindex 1.
  [[nodiscard]] Outcome run(const std::string& program, const Bytes& frame, std::uint32_t gso_size = 0);
  // Runs mesh_sweep over `count` sets.
  [[nodiscard]] mesh_sweep sweep(__u32 first, __u32 count);
  [[nodiscard]] int program(const std::string& name) const;
  void attach_xdp(const std::string& name, int ifindex);
  void attach_tc(const std::string& name, int ifindex);
  void attach_cgroup(const std::string& name, const std::string& cgroup);

 private:
  [[nodiscard]] int map(const std::string& name) const;

  struct Links;
  mesh_bpf* object_;
  std::unique_ptr<Links> links_;
};

}  // namespace mesh::packet
