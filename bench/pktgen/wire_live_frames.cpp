#include <algorithm>
#include <cerrno>
#include <vector>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>

#include "bench/pktgen/figures.h"
#include "bench/pktgen/wire.h"
#include "bpf/pktgen.skel.h"

namespace mesh::pktgen {
namespace {

constexpr unsigned kBatch = 64;  // frames per NAPI poll
constexpr std::size_t kBurst = 1U << 15U;

// The layout of pktgen.bpf.c.
struct PktgenConfig {
  probe_shape shape{};
  std::uint32_t ifindex = 0;
  std::uint32_t flows = 0;
};

struct Close {
  void operator()(pktgen_bpf* object) const { pktgen_bpf__destroy(object); }
};
struct Detach {
  void operator()(bpf_link* link) const { bpf_link__destroy(link); }
};

class LiveFrames : public Wire {
 public:
  LiveFrames(std::unique_ptr<pktgen_bpf, Close> object, std::unique_ptr<bpf_link, Detach> link, const Route& route,
             std::size_t bytes)
      : object_(std::move(object)), link_(std::move(link)), interface_(route.interface), data_(bytes) {}

  std::size_t burst() const override { return kBurst; }

  Result<std::size_t> send(std::size_t count) override {
    xdp_md context{};
    context.data_end = static_cast<std::uint32_t>(data_.size());
    LIBBPF_OPTS(bpf_test_run_opts, options);
    options.data_in = data_.data();
    options.data_size_in = static_cast<std::uint32_t>(data_.size());
    options.ctx_in = &context;
    options.ctx_size_in = sizeof context;
    options.repeat = static_cast<int>(count);
    options.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
    options.batch_size = static_cast<std::uint32_t>(std::min<std::size_t>(kBatch, count));
    if (bpf_prog_test_run_opts(bpf_program__fd(object_->progs.pktgen), &options) != 0 && errno != EINTR) {
      return fail_errno("send live frames on " + interface_ + " (needs kernel 5.18; try --mode af_packet)", errno);
    }
    return count;
  }

  Status take() override { return {}; }  // the kernel counts

  Result<probe_counts> counts() override {
    std::vector<probe_counts> values(static_cast<std::size_t>(libbpf_num_possible_cpus()));
    const std::uint32_t key = 0;
    if (bpf_map_lookup_elem(bpf_map__fd(object_->maps.counts), &key, values.data()) != 0) {
      return fail_errno("read the counted answers", errno);
    }
    probe_counts sum{};
    for (const probe_counts& value : values) add_counts(sum, value);
    return sum;
  }

 private:
  std::unique_ptr<pktgen_bpf, Close> object_;
  std::unique_ptr<bpf_link, Detach> link_;
  std::string interface_;
  std::vector<std::uint8_t> data_;  // what new pages hold; the program writes the first sixty bytes
};

}  // namespace

Result<WirePtr> open_live_frames(const Route& route, const Traffic& traffic) {
  const PktgenConfig config{TRY(make_shape(route, traffic)), route.ifindex,
                            static_cast<std::uint32_t>(traffic.ports.size())};
  std::unique_ptr<pktgen_bpf, Close> object(pktgen_bpf__open_and_load());
  if (!object) return fail_errno("load the generator's programs (root is needed)", errno);
  std::ranges::transform(traffic.ports, object->bss->order, mesh_be16);
  const std::uint32_t key = 0;
  if (bpf_map_update_elem(bpf_map__fd(object->maps.config), &key, &config, BPF_ANY) != 0) {
    return fail_errno("write the generator's settings", errno);
  }
  std::unique_ptr<bpf_link, Detach> link(
      bpf_program__attach_xdp(object->progs.pktgen, static_cast<int>(route.ifindex)));
  if (!link) {
    return fail_errno("count answers on " + route.interface + " (another XDP program there? try --mode af_packet)",
                      errno);
  }
  return std::make_unique<LiveFrames>(std::move(object), std::move(link), route, traffic.bytes);
}

}  // namespace mesh::pktgen
