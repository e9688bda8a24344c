#include "tests/packet/bpf/native/native.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#include <fmt/format.h>
#include <linux/pkt_cls.h>

#include "bpf/lib/address.h"
#include "tests/packet/bpf/native/bpf_stand_ins.h"
#include "tests/packet/bpf/native/programs.h"
#include "tests/packet/bpf/world.h"

#ifdef __SANITIZE_ADDRESS__
#define MESH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MESH_ASAN 1
#endif
#endif
#ifdef MESH_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(start, size) ((void)(start), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(start, size) ((void)(start), (void)(size))
#endif

namespace mesh::packet {
namespace {

constexpr std::size_t kRoom = 1 << 18;
constexpr std::size_t kHeadroom = 1 << 12;
constexpr std::size_t kTailroom = 64;  // beyond a frame
constexpr int kXdpRedirect = XDP_REDIRECT;

[[noreturn]] void give_up(const std::string& what) {
  std::fprintf(stderr, "native programs: %s\n", what.c_str());
  std::abort();
}

struct Table {
  const mesh_native_map* description = nullptr;
  std::map<Bytes, std::unique_ptr<Bytes>> entries;  // values keep their address

  [[nodiscard]] bool is_array() const {
    return description->type == BPF_MAP_TYPE_ARRAY || description->type == BPF_MAP_TYPE_PERCPU_ARRAY;
  }
  Bytes key_of(const void* key) const {
    const auto* start = static_cast<const std::uint8_t*>(key);
    return {start, start + description->key_size};
  }
  void* longest_prefix(const void* key) {
    const auto* wanted = static_cast<const std::uint8_t*>(key) + 4;
    void* best = nullptr;
    __u32 best_length = 0;
    for (auto& [stored, value] : entries) {
      __u32 length = 0;
      std::memcpy(&length, stored.data(), 4);
      bool same = true;
      for (__u32 bit = 0; bit < length && same; bit++) {
        same = ((wanted[bit / 8] ^ stored[4 + bit / 8]) >> (7 - bit % 8) & 1) == 0;
      }
      if (same && (best == nullptr || length >= best_length)) {
        best = value->data();
        best_length = length;
      }
    }
    return best;
  }
  void* find(const void* key) {
    if (description->type == BPF_MAP_TYPE_LPM_TRIE) return longest_prefix(key);
    if (is_array()) {
      __u32 index = 0;
      std::memcpy(&index, key, sizeof(index));
      if (index >= description->max_entries) return nullptr;
      auto& entry = entries[key_of(key)];
      if (entry == nullptr) entry = std::make_unique<Bytes>(description->value_size);
      return entry->data();
    }
    const auto entry = entries.find(key_of(key));
    return entry == entries.end() ? nullptr : entry->second->data();
  }
};

}  // namespace

struct Native::State {
  std::map<void*, Table> tables;
  std::map<std::string, void*> symbols;
  std::uint8_t* room = nullptr;   // below 4 GB: contexts hold 32-bit pointers
  std::uint8_t* start = nullptr;  // of the frame
  std::size_t size = 0;
  bool xdp = false;
  std::string redirect;
  int route_result = BPF_FIB_LKUP_RET_NO_NEIGH;
  __u32 route_ifindex = 0;
  std::array<std::uint8_t, 6> route_destination{};
  std::array<std::uint8_t, 6> route_source{};
  std::vector<mesh_address> route_destinations;

  // Only the frame itself may be touched.
  void guard() {
    ASAN_POISON_MEMORY_REGION(room, kRoom);
    ASAN_UNPOISON_MEMORY_REGION(start, size);
  }
  void expose() { ASAN_UNPOISON_MEMORY_REGION(room, kRoom); }
  Table& table(const std::string& name) {
    const auto symbol = symbols.find(name);
    if (symbol == symbols.end()) give_up("no map " + name);
    return tables.at(symbol->second);
  }
};

namespace {
Native::State* current = nullptr;
}  // namespace

Native::Native() : state_(std::make_unique<State>()) {
  if (current != nullptr) give_up("two at a time");
  for (unsigned i = 0; i < mesh_native_map_count; i++) {
    state_->tables[mesh_native_maps[i].symbol].description = &mesh_native_maps[i];
    state_->symbols[mesh_native_maps[i].name] = mesh_native_maps[i].symbol;
  }
  void* room = mmap(nullptr, kRoom, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  if (room == MAP_FAILED) give_up("no memory below 4 GB");
  state_->room = static_cast<std::uint8_t*>(room);
  current = state_.get();
}

Native::~Native() {
  state_->expose();
  munmap(state_->room, kRoom);
  current = nullptr;
}

void Native::put(const std::string& name, const void* key, const void* value) {
  Table& table = state_->table(name);
  const auto* bytes = static_cast<const std::uint8_t*>(value);
  if (table.is_array()) {
    std::memcpy(table.find(key), bytes, table.description->value_size);
    return;
  }
  table.entries[table.key_of(key)] = std::make_unique<Bytes>(bytes, bytes + table.description->value_size);
}

void Native::erase(const std::string& name, const void* key) {
  Table& table = state_->table(name);
  table.entries.erase(table.key_of(key));
}

bool Native::get(const std::string& name, const void* key, void* value) {
  Table& table = state_->table(name);
  const void* found = table.find(key);
  if (found != nullptr) std::memcpy(value, found, table.description->value_size);
  return found != nullptr;
}

void Native::clear(const std::string& name) { state_->table(name).entries.clear(); }

__u64 Native::total(const std::string& name, __u32 index) {
  __u64 value = 0;
  std::memcpy(&value, state_->table(name).find(&index), sizeof(value));
  return value;
}

Outcome Native::run(const std::string& name, const Bytes& frame, std::uint32_t gso_size) {
  state_->expose();
  state_->start = state_->room + kHeadroom;
  state_->size = frame.size();
  std::memcpy(state_->start, frame.data(), frame.size());
  state_->guard();
  state_->redirect.clear();
  state_->xdp = name == "mesh_uplink_xdp" || name == "mesh_carry";
  Outcome outcome;
  const auto data = static_cast<__u32>(reinterpret_cast<std::uintptr_t>(state_->start));
  if (state_->xdp) {
    xdp_md context{};
    context.data = data;
    context.data_end = data + static_cast<__u32>(frame.size());
    context.ingress_ifindex = 1;
    outcome.verdict = name == "mesh_carry" ? mesh_carry(&context) : mesh_uplink_xdp(&context);
  } else {
    __sk_buff skb{};
    skb.data = data;
    skb.len = static_cast<__u32>(frame.size());
    skb.data_end = data + skb.len;
    skb.ifindex = 1;
    skb.ingress_ifindex = 1;
    skb.gso_size = gso_size;
    auto* program = name == "mesh_uplink_tc"     ? mesh_uplink_tc
                    : name == "mesh_endpoint_tc" ? mesh_endpoint_tc
                                                 : mesh_entry_tc;
    outcome.verdict = program(&skb);
  }
  outcome.frame.assign(state_->start, state_->start + state_->size);
  return outcome;
}

const std::string& Native::redirect() const { return state_->redirect; }

void Native::set_route(int result, __u32 ifindex, const std::uint8_t* destination, const std::uint8_t* source,
                       const std::vector<mesh_address>& destinations) {
  state_->route_destinations = destinations;
  state_->route_result = result;
  state_->route_ifindex = ifindex;
  std::memcpy(state_->route_destination.data(), destination, 6);
  std::memcpy(state_->route_source.data(), source, 6);
}

namespace {

// Moves the frame's start; the bytes from `keep` on stay where they are.
void move_head(__s32 by, std::size_t keep) {
  current->expose();
  if (keep != 0) {
    std::array<std::uint8_t, 64> head{};
    std::memcpy(head.data(), current->start, keep);
    std::memset(current->start, 0, keep);
    std::memcpy(current->start + by, head.data(), keep);
    if (by < 0) std::memset(current->start + by + keep, 0, static_cast<std::size_t>(-by));
  }
  current->start += by;
  current->size = static_cast<std::size_t>(static_cast<long>(current->size) - by);
  current->guard();
}

void refresh(__sk_buff* skb) {
  skb->data = static_cast<__u32>(reinterpret_cast<std::uintptr_t>(current->start));
  skb->len = static_cast<__u32>(current->size);
  skb->data_end = skb->data + skb->len;
}

std::uint16_t fold(std::uint64_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

long redirected(const char* how, __u32 ifindex) {
  current->redirect = fmt::format("{} {}", how, ifindex);
  return current->xdp ? kXdpRedirect : TC_ACT_REDIRECT;
}

}  // namespace
}  // namespace mesh::packet

using mesh::packet::current;

extern "C" {

void* bpf_map_lookup_elem(void* map, const void* key) { return current->tables.at(map).find(key); }

long bpf_map_update_elem(void* map, const void* key, const void* value, __u64) {
  auto& table = current->tables.at(map);
  const auto* bytes = static_cast<const std::uint8_t*>(value);
  table.entries[table.key_of(key)] =
      std::make_unique<mesh::packet::Bytes>(bytes, bytes + table.description->value_size);
  return 0;
}

long bpf_map_delete_elem(void* map, const void* key) {
  auto& table = current->tables.at(map);
  return table.entries.erase(table.key_of(key)) == 0 ? -ENOENT : 0;
}

__u64 bpf_ktime_get_ns(void) {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<__u64>(now.tv_sec) * 1000000000 + static_cast<__u64>(now.tv_nsec);
}

__u32 bpf_get_smp_processor_id(void) { return 0; }
__u64 bpf_jiffies64(void) { return bpf_ktime_get_ns() / 4000000; }  // HZ 250

long bpf_loop(__u32 count, long (*body)(__u32, void*), void* context, __u64) {
  __u32 done = 0;
  while (done < count && body(done, context) == 0) done++;
  return done;
}

__u32 bpf_get_prandom_u32(void) { return 4; }  // the socket programs are not run natively

long bpf_redirect(__u32 ifindex, __u64 flags) {
  return mesh::packet::redirected((flags & BPF_F_INGRESS) != 0 ? "ingress" : "to", ifindex);
}
long bpf_redirect_peer(__u32 ifindex, __u64) { return mesh::packet::redirected("peer", ifindex); }
long bpf_redirect_neigh(__u32 ifindex, void*, int, __u64) { return mesh::packet::redirected("neigh", ifindex); }

long bpf_fib_lookup(void*, struct bpf_fib_lookup* parameters, int, __u32) {
  mesh_address destination{};
  if (parameters->family == AF_INET6) {
    std::memcpy(&destination, parameters->ipv6_dst, sizeof(destination));
  } else {
    destination = mesh_address_v4(parameters->ipv4_dst);
  }
  const auto& known = current->route_destinations;
  const auto same = [&](const mesh_address& one) { return mesh_address_equal(&one, &destination) != 0; };
  if (!known.empty() && std::none_of(known.begin(), known.end(), same)) return BPF_FIB_LKUP_RET_NO_NEIGH;
  if (parameters->tot_len > mesh::packet::kUnderlayMtu) return BPF_FIB_LKUP_RET_FRAG_NEEDED;
  parameters->ifindex = current->route_ifindex;
  std::memcpy(parameters->dmac, current->route_destination.data(), 6);
  std::memcpy(parameters->smac, current->route_source.data(), 6);
  return current->route_result;
}

long bpf_xdp_adjust_head(xdp_md* context, int delta) {
  if (delta > 0 && current->size < static_cast<std::size_t>(delta) + 14) return -EINVAL;
  mesh::packet::move_head(delta, 0);
  context->data = static_cast<__u32>(reinterpret_cast<std::uintptr_t>(current->start));
  context->data_end = context->data + static_cast<__u32>(current->size);
  return 0;
}

long bpf_skb_pull_data(__sk_buff*, __u32) { return 0; }

long bpf_skb_adjust_room(__sk_buff* skb, __s32 difference, __u32, __u64) {
  // The kernel refuses to leave less than an IP header.
  const std::size_t header = current->start[12] == 0x86 ? 40 : 20;
  if (difference < 0 && current->size < 14 + header + static_cast<std::size_t>(-difference)) return -ENOTSUP;
  mesh::packet::move_head(-difference, 14);
  mesh::packet::refresh(skb);
  return 0;
}

long bpf_skb_change_proto(__sk_buff*, __be16, __u64) { return -EINVAL; }  // kernels before 6.3 only

long bpf_skb_change_tail(__sk_buff* skb, __u32 length, __u64) {
  if (length > current->size + mesh::packet::kTailroom) return -EINVAL;
  current->expose();
  if (length > current->size) std::memset(current->start + current->size, 0, length - current->size);
  current->size = length;
  current->guard();
  mesh::packet::refresh(skb);
  return 0;
}

long bpf_skb_change_type(__sk_buff*, __u32) { return 0; }

long bpf_skb_store_bytes(__sk_buff*, __u32 offset, const void* from, __u32 length, __u64) {
  if (offset + length > current->size) return -EFAULT;
  std::memcpy(current->start + offset, from, length);
  return 0;
}

long bpf_skb_load_bytes(const void*, __u32 offset, void* to, __u32 length) {
  if (offset + length > current->size) return -EFAULT;
  std::memcpy(to, current->start + offset, length);
  return 0;
}

long bpf_xdp_load_bytes(xdp_md*, __u32 offset, void* to, __u32 length) {
  return bpf_skb_load_bytes(nullptr, offset, to, length);
}

long bpf_xdp_store_bytes(xdp_md*, __u32 offset, void* from, __u32 length) {
  return bpf_skb_store_bytes(nullptr, offset, from, length, 0);
}

// Frames here have complete checksums.
long bpf_l4_csum_replace(__sk_buff*, __u32 offset, __u64, __u64 difference, __u64 flags) {
  if (offset + 2 > current->size) return -EFAULT;
  std::uint16_t checksum = 0;
  std::memcpy(&checksum, current->start + offset, 2);
  const bool udp = (flags & BPF_F_MARK_MANGLED_0) != 0;
  if (udp && checksum == 0) return 0;
  checksum = static_cast<std::uint16_t>(~mesh::packet::fold(static_cast<std::uint16_t>(~checksum) + difference));
  if (udp && checksum == 0) checksum = 0xffff;
  std::memcpy(current->start + offset, &checksum, 2);
  return 0;
}

__s64 bpf_csum_update(__sk_buff*, __u32) { return -ENOTSUP; }
__u64 bpf_get_netns_cookie(void*) { return 0; }
__u64 bpf_get_socket_cookie(void*) { return 0; }
int bpf_set_retval(int) { return 0; }

}  // extern "C"
