#include "control/api/port_agreement.h"

#include <algorithm>

#include <fmt/format.h>

#include "control/manager/allocator.h"
#include "control/manager/port_options.h"

namespace mesh::api {
namespace {

// So many ports in a row that programs of hosts use are no accident.
constexpr std::size_t kPassedOverMax = 100;

using Done = std::function<void(Result<std::set<model::PublishedPort>>)>;

// Nodes that have agreed to the port before: it is published there.
std::set<std::string> agreed_before(const store::View& view, const model::PublishedPort& port) {
  for (const auto& [id, service] : view.services()) {
    const bool published = std::ranges::any_of(service->endpoint.ports, [&](const model::PortConfig& other) {
      return model::is_ingress(other) && model::published_port(other) == port;
    });
    if (published) return manager::entry_nodes(view, service->spec.labels, port);
  }
  return {};
}

struct Question {
  std::vector<model::PortConfig> ports;
  std::set<std::string> nodes;
  bool chosen = false;  // by the cluster: another would do
};

class Agreement : public std::enable_shared_from_this<Agreement> {
 public:
  Agreement(Context& context, model::Service service, Done done)
      : context_(context), service_(std::move(service)), done_(std::move(done)) {}

  void go_on() {
    manager::Manager* manager = context_.swarm.manager();
    const Question question = manager == nullptr ? Question{} : next_question(manager->view());
    if (question.ports.empty()) return done_(passed_over_);
    context_.swarm.ask_ports(question.ports, question.nodes, [self = shared_from_this(), question](const Status& free) {
      self->answered(question, free);
    });
  }

 private:
  // All ports that the spec names, those for the same nodes together; then, one by one, those that the cluster chooses.
  [[nodiscard]] Question next_question(const store::View& view) const {
    model::Service wanted = service_;
    if (!manager::allocate_ports(view, wanted, passed_over_)) return {};  // the change itself will say why
    Question named, chosen{.chosen = true};
    for (std::size_t i = 0; i < wanted.endpoint.ports.size(); ++i) {
      const model::PortConfig& port = wanted.endpoint.ports[i];
      if (!model::is_ingress(port) || agreed_.contains(model::published_port(port))) continue;
      std::set<std::string> nodes = manager::entry_nodes(view, service_.spec.labels, model::published_port(port));
      for (const std::string& node : agreed_before(view, model::published_port(port))) nodes.erase(node);
      if (nodes.empty()) continue;
      Question& question = service_.spec.endpoint_spec->ports[i].published_port != 0 ? named : chosen;
      if (question.ports.empty()) question.nodes = nodes;
      if (question.ports.empty() || (!question.chosen && question.nodes == nodes)) question.ports.push_back(port);
    }
    return named.ports.empty() ? chosen : named;
  }

  void answered(const Question& question, const Status& free) {
    if (free) {
      for (const model::PortConfig& port : question.ports) agreed_.insert(model::published_port(port));
      return go_on();
    }
    if (!question.chosen || free.error().kind != ErrorKind::kConflict) return done_(std::unexpected(free.error()));
    passed_over_.insert(model::published_port(question.ports.front()));
    if (passed_over_.size() <= kPassedOverMax) return go_on();
    done_(fail(ErrorKind::kExhausted,
               fmt::format("programs of hosts use every port that was tried, at last: {}; name a free one with "
                           "--publish PUBLISHED:TARGET",
                           free.error().message)));
  }

  Context& context_;
  model::Service service_;
  Done done_;
  std::set<model::PublishedPort> agreed_, passed_over_;
};

}  // namespace

void agree_on_ports(Context& context, model::Service service, Done done) {
  std::make_shared<Agreement>(context, std::move(service), std::move(done))->go_on();
}

}  // namespace mesh::api
