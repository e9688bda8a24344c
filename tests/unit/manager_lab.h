// A cluster in one process and in virtual time: a real manager on a store in memory, and simulated hosts that run
// tasks, hold tables, acknowledge late, fail, and disappear. Same seed, same run.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "control/manager/manager.h"
#include "control/store/memory_store.h"

namespace mesh::manager::lab {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A store that outlives its manager, so that managers can be restarted on it.
class SharedStore final : public store::Store {
 public:
  explicit SharedStore(std::shared_ptr<store::MemoryStore> inner) : inner_(std::move(inner)) {}
  Result<std::uint64_t> commit(const std::vector<store::Change>& changes,
                               const std::vector<store::Precondition>& preconditions,
                               store::Durability durability) override {
    return inner_->commit(changes, preconditions, durability);
  }
  [[nodiscard]] Result<store::Snapshot> snapshot() const override { return inner_->snapshot(); }
  Result<std::unique_ptr<store::Watch>> watch(std::uint64_t from,
                                              std::function<void(const store::Batch&)> on_batch) override {
    return inner_->watch(from, std::move(on_batch));
  }

 private:
  std::shared_ptr<store::MemoryStore> inner_;
};

struct RunningTask {
  model::Task told;
  model::TaskState state = model::TaskState::kAssigned;
  std::string err;
  std::int64_t exit_code = 0;
  Time next;  // of its next step
  bool removed = false;
};

// One simulated host.
struct Host {
  std::string id;
  bool up = true;          // the machine
  bool connected = false;  // its session
  bool caught_up = false;  // has had tables in this session
  bool mute = false;       // does not acknowledge
  Time left;               // when it last was up to date before its session ended
  bool stale = false;      // came back after more than the five seconds that a manager waits for it
  std::map<std::string, RunningTask> tasks;
  model::EndpointTables tables;  // what its "kernel" holds
  std::vector<std::pair<Time, std::pair<std::optional<model::EndpointTables>, std::optional<model::TableChange>>>>
      inbox;
  Time next_heartbeat;
};

class Lab {
 public:
  explicit Lab(std::uint64_t seed, int hosts = 3);

  Manager& manager() { return *manager_; }
  [[nodiscard]] const store::View& view() const { return manager_->view(); }
  [[nodiscard]] Time now() const { return now_; }
  std::mt19937_64& random() { return random_; }
  std::uint64_t roll(std::uint64_t sides) { return random_() % sides; }

  // ---- what happens
  void run_for(Duration duration);
  // Runs until it holds; false after `most` of virtual time.
  bool run_until(const std::function<bool()>& condition, Duration most = seconds(120));
  void add_host(const std::string& id);
  void connect(const std::string& id);
  void disconnect(const std::string& id);  // the session only; the host goes on
  void cut(const std::string& id);         // no session, no heartbeats
  void heal(const std::string& id);
  void crash_task(const std::string& task_id, std::int64_t exit_code = 137);
  void restart_manager();
  void tick();

  std::map<std::string, Host>& hosts() { return hosts_; }
  std::string create(const std::string& name, std::uint64_t replicas,
                     const std::function<void(model::ServiceSpec&)>& adjust = {});
  Status update(const std::string& service_id, const std::function<void(model::ServiceSpec&)>& adjust);
  Status set_availability(const std::string& node_id, model::Availability availability);

  Status set_label(const std::string& node_id, const std::string& key, const std::string& value);

  // ---- what is seen
  // Tasks of the service that run on hosts, whatever the manager thinks.
  [[nodiscard]] std::vector<std::string> running_on_hosts(const std::string& service_id) const;
  // Tasks that the manager holds as running and wants to.
  [[nodiscard]] std::vector<const model::Task*> running(const std::string& service_id) const;
  [[nodiscard]] bool converged(const std::string& service_id) const;
  [[nodiscard]] std::string describe(const std::string& service_id) const;
  // An address, a port or a network number that the newest tables give to somebody while a live host still holds it for
  // another; "" if there is none.
  [[nodiscard]] std::string passed_on_early() const;

  // ---- how hosts behave
  Duration step_min = milliseconds(20), step_max = milliseconds(400);  // per state
  Duration acknowledge_min = milliseconds(1), acknowledge_max = milliseconds(300);
  std::uint64_t fail_one_in = 0;  // starts that fail; 0: none
  std::function<bool(const model::Task&)> never_starts;
  std::function<bool(const model::Task&)> rejects;  // its image is missing
  // Called after every tick with what it delivered.
  std::function<void(const Step&)> on_step;

 private:
  void open_manager();
  void deliver(const Delivery& delivery);
  void take_tables(Host& host, const Delivery& delivery);
  void run_host(Host& host);
  void advance_task(Host& host, RunningTask& task);
  void report(Host& host, const RunningTask& task);
  Duration between(Duration low, Duration high);
  [[nodiscard]] Time next_event() const;

  std::mt19937_64 random_;
  std::shared_ptr<store::MemoryStore> store_ = std::make_shared<store::MemoryStore>();
  std::unique_ptr<Manager> manager_;
  std::map<std::string, Host> hosts_;
  Time now_{seconds(1'000'000)};
  Time manager_next_ = now_;
  std::uint64_t next_id_ = 1;
};

}  // namespace mesh::manager::lab
