// The shell of the data plane: makes the kernel's maps, programs and hooks what Desired says, and reads back what is
// really there. No libbpf types here.
//
//   Dataplane dataplane = TRY(Dataplane::open({}));
//   Report report = TRY(dataplane.reconcile(desired));   // observe · plan · apply; when it returns, the kernel holds
//   it
//
// Everything is pinned under `pin_dir` and goes on without meshd: a new Dataplane finds what is there and continues.
// Blocking system calls, microseconds each; to be called from one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "dataplane/desired.h"

namespace mesh::dataplane {

class Catcher;      // catcher.h
struct CatchOrder;  // trace.h
struct TraceOrder;
struct TraceRun;

struct Options {
  std::string pin_dir = "/sys/fs/bpf/meshd";  // on a bpffs; made if absent
  std::uint32_t flow_sets = 0;  // of the flow table, seven records each; a power of two, 0: MESH_FLOW_SETS
};

// One part that is not as desired, and why; the rest was applied.
struct Problem {
  enum class Kind : std::uint8_t { kUplink, kPort, kEndpoint, kCgroup, kLimit, kKernel };
  Kind kind = Kind::kKernel;
  std::string subject;                 // "uplink eth0", "8010/tcp", "task <id>" …
  std::string message;                 // what, on what, why, what to try
  Protocol protocol = Protocol::kTcp;  // kPort only
  std::uint16_t port = 0;              // kPort only
};

struct Report {
  std::vector<Problem> problems;
  std::size_t actions = 0;  // applied by this call
  std::size_t drift = 0;    // what a full pass found changed by another hand
  std::string recreated;    // which tables of an earlier meshd start empty, and why; empty: none does
  std::string taken_over;   // what was converted from tables of another layout; empty: nothing
};

struct Traffic {
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
};
struct PortCounters {
  Protocol protocol = Protocol::kTcp;
  std::uint16_t port = 0;
  std::string service_name;
  Traffic entry;  // client packets that entered the mesh on this host
  struct Backend {
    std::uint16_t node = 0;
    std::uint16_t binding = 0;  // on that node
    Traffic entry;              // ... and went to this backend by the ring
  };
  std::vector<Backend> backends;
};
struct BindingCounters {
  std::uint16_t binding = 0;
  std::string task_id;
  Protocol protocol = Protocol::kTcp;
  std::uint16_t port = 0;         // published
  std::string service_name;       // of the port
  Traffic in;                     // delivered to the task
  Traffic out;                    // its replies
  std::uint64_t connections = 0;  // that began here; of UDP: flows of one client address and port
  std::uint64_t resets_in = 0;    // TCP resets of clients
  std::uint64_t resets_out = 0;   // ... and of the task
  std::uint64_t flows = 0;        // records held now
};
// A reason why packets were dropped, or something that happened to packets or flows.
struct DropCounter {
  std::string reason;       // "no_binding"
  std::string description;  // one sentence
  std::uint64_t packets = 0;
};
// All since the maps were created; a restart of meshd does not reset them.
struct Counters {
  std::vector<PortCounters> ports;        // desired ports, by (protocol, port)
  std::vector<BindingCounters> bindings;  // desired bindings, by index
  std::vector<DropCounter> drops;         // every reason, zero included
  std::vector<DropCounter> events;        // what happened to packets and flows, zero included
  std::uint64_t flow_records = 0;         // in use
  std::uint64_t flow_records_max = 0;     // that the table has room for
};

// What a map costs, as the kernel accounts it.
struct MapMemory {
  std::string name;
  std::uint64_t bytes = 0;
};

// A flow whose backend is on this host.
struct FlowRecord {
  Protocol protocol = Protocol::kTcp;
  SocketAddress client;
  SocketAddress destination;  // what the client asked for
  SocketAddress backend;      // the task's address and port
  std::uint16_t binding = 0;
  std::string task_id;      // empty: the binding is no longer desired
  std::uint16_t entry = 0;  // node number of the entry host
  std::string state;        // "new", "established", "closing", "closed"
  std::uint32_t idle_seconds = 0;
};

// FLOWS, DROP: the slots of one port's ring in which this host holds records of flows that are not the owner's. Made
// from a walk over all records; ports of Desired only.
struct ForeignHeld {
  Protocol protocol = Protocol::kTcp;
  std::uint16_t port = 0;
  std::uint32_t version = 0;        // of the ring that the kernel holds
  std::vector<std::uint16_t> held;  // slots, sorted
};

// What is in the kernel next to what should be, for people.
struct InspectedHook {
  std::string name;  // "uplink eth0 xdp", "endpoint mv01ab23cd tc", "cgroup connect4"
  bool desired = false;
  bool attached = false;
  std::uint32_t program_id = 0;
};
struct InspectedPort {
  Protocol protocol = Protocol::kTcp;
  std::uint16_t port = 0;
  std::string service_name;
  std::uint32_t ring_version = 0, ring_version_desired = 0;
  std::size_t slots = 0, slots_desired = 0;
  struct Backend {
    std::uint8_t index = 0;
    std::uint16_t node = 0;
    std::uint16_t binding = 0;
    EndpointState state = EndpointState::kReady;
    std::size_t slots = 0;  // owned in the kernel's ring
    std::size_t moved = 0;  // of these: with the moved bit
  };
  std::vector<Backend> backends;  // as the kernel holds them
  bool as_desired = false;
  bool port_held = false;  // the placeholder socket is open
};
struct InspectedVip {
  IpAddress address;
  std::uint32_t vni = 0;
  std::vector<IpAddress> backends;  // as the kernel holds them
  bool as_desired = false;
};
struct InspectedMap {
  std::string name;
  std::uint32_t entries_max = 0;
  std::uint64_t entries = 0;  // in use
  std::uint64_t bytes = 0;
};
struct Inspection {
  std::uint32_t abi_version = 0;
  std::string pin_dir;
  std::vector<InspectedHook> hooks;
  std::vector<InspectedPort> ports;
  std::vector<InspectedVip> virtual_ips;
  std::vector<InspectedMap> maps;
  std::size_t nodes = 0, nodes_desired = 0;
  std::size_t endpoints = 0, endpoints_desired = 0;
  std::size_t bindings = 0, bindings_desired = 0;
  std::vector<std::string> differences;  // one line each; empty: the kernel is as desired
};

class Dataplane {
 public:
  // Opens or makes the pinned maps and loads the programs. kUnsupported names what the kernel lacks (features.h).
  // Tables of the previous version or of other sizes are taken over; of other versions they are replaced, and
  // `Report::recreated` says so. Either happens when the first reconcile() has attached the programs; until then, and
  // after an error, what an earlier meshd loaded goes on.
  [[nodiscard]] static Result<Dataplane> open(Options options);

  // An error means nothing can be said about the kernel's state; a part that failed is a Problem.
  // kDirty compares with what this object wrote; kFull reads the kernel again and counts drift (every N seconds). The
  // first call of an object is always full.
  enum class Pass : std::uint8_t { kDirty, kFull };
  [[nodiscard]] Result<Report> reconcile(const Desired& desired, Pass pass = Pass::kDirty);
  // The same for what the last call left, with `change` in it; costs what the change touches. Where something was left
  // out or failed, or pieces share rows (two tasks with one address), everything is planned instead, and the report
  // names all problems there are. Only after reconcile().
  [[nodiscard]] Result<Report> change(const Change& change);

  [[nodiscard]] Result<Counters> counters() const;
  [[nodiscard]] std::vector<MapMemory> memory() const;
  // At most `limit` flows from table position `cursor` on; `cursor` becomes where to go on, 0 at the end.
  [[nodiscard]] Result<std::vector<FlowRecord>> flows(std::uint64_t& cursor, std::size_t limit) const;
  // One walk over the flow table: what this host still holds for others (one entry per desired port, held may be
  // empty). Removes records of bindings that are gone and of flows idle beyond their protocol's limit, and lets the
  // programs look at each flow's record again: to be called every second.
  [[nodiscard]] Result<std::vector<ForeignHeld>> scan_foreign();
  [[nodiscard]] Result<Inspection> inspect() const;
  // What a program would do with a packet. Nothing of it stays but for the other packets of the same trace.
  [[nodiscard]] Result<TraceRun> trace(const TraceOrder& order);
  // Waits at this host's uplinks and endpoints, those that are there now.
  [[nodiscard]] Result<Catcher> catch_next(const CatchOrder& order);
  // Host side of a task's veth; 0: it is not attached here.
  [[nodiscard]] std::uint32_t ifindex_of(const std::string& task_id) const;

  // Detaches every program and removes every pin. Goes on after an error and reports all in one message. Nothing there
  // is success.
  [[nodiscard]] static Status cleanup(const Options& options);

  Dataplane(Dataplane&&) noexcept;
  Dataplane& operator=(Dataplane&&) noexcept;
  ~Dataplane();

 private:
  struct State;
  explicit Dataplane(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

[[nodiscard]] std::string_view protocol_name(Protocol protocol);  // "tcp"
[[nodiscard]] std::string_view state_name(EndpointState state);   // "ready"

}  // namespace mesh::dataplane
