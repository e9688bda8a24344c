// What an operator and bad luck do to the cluster: backends come, drain, crash; hosts die and come back; daemons are
// restarted, or do not answer.
#pragma once

#include "tests/flowsim/containers.h"

namespace mesh::flowsim {

class Chaos {
 public:
  explicit Chaos(Simulation& simulation) : simulation_(simulation) {}
  void add(std::uint16_t node);
  void start();
  // The container ends some time after its drain was acknowledged.
  void stop_later(const Container& container);

 private:
  void next();
  void one_event();
  void drain();
  void scale_to_nothing();
  void crash();
  void end(Container& container);
  void lose_host();
  void delay_control(Time delay, Time until);
  [[nodiscard]] std::vector<ContainerId> ready() const;
  [[nodiscard]] std::uint16_t some_host_up();
  [[nodiscard]] std::uint16_t free_place(std::uint16_t node) const;

  Simulation& simulation_;
};

}  // namespace mesh::flowsim
