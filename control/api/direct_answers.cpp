#include "control/api/direct_answers.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "base/id.h"
#include "base/text.h"

namespace mesh::api {
namespace {

struct Host {
  std::string id, name;
  std::uint16_t number = 0;
  IpAddress address;
};
// A packet from `from` in the name of `as`, towards a client's stand-in.
struct Pair {
  const Host* from;
  const Host* as;
  const Host* to;
};

class Probing : public std::enable_shared_from_this<Probing> {
 public:
  Probing(Context& context, std::vector<Host> hosts, ResponderPtr responder)
      : context_(context), hosts_(std::move(hosts)), responder_(std::move(responder)), token_(make_id()) {
    const std::size_t count = hosts_.size();
    for (std::size_t from = 0; from < count; ++from) {
      for (std::size_t as = 0; as < count; ++as) {
        if (from == as) continue;
        // A third host, as a client is; of two hosts, the one whose address is used.
        std::size_t to = (as + 1) % count;
        if (to == from) to = (to + 1) % count;
        pairs_.push_back({&hosts_[from], &hosts_[as], &hosts_[to]});
      }
    }
  }

  void ask_all(model::ProbeStep step) {
    const std::size_t left = hosts_.size() - failed_.size();
    waiting_ = left;
    if (left < 2) return finish();
    for (const Host& host : hosts_) {
      if (failed_.contains(host.number)) continue;
      model::ProbeQuestion question{.token = token_, .step = step, .sender = host.number};
      if (step == model::ProbeStep::kSend) question.probes = probes_of(host);
      context_.swarm.ask_probe(host.id, question, [self = shared_from_this(), &host, step](const auto& answer) {
        self->take(host, step, answer);
      });
    }
  }

 private:
  [[nodiscard]] std::vector<model::DirectProbe> probes_of(const Host& host) const {
    std::vector<model::DirectProbe> probes;
    std::set<IpAddress> own;  // where its own packets are sent too, to compare
    for (const Pair& pair : pairs_) {
      if (pair.from != &host) continue;
      probes.push_back({pair.as->address, pair.to->address});
      if (own.insert(pair.to->address).second) probes.push_back({host.address, pair.to->address});
    }
    return probes;
  }

  void take(const Host& host, model::ProbeStep step, const Result<model::ProbeAnswer>& answer) {
    if (!answer) {
      failed_.insert(host.number);
      errors_.emplace_back(fmt::format("{}: {}", host.name, answer.error().message));
    } else {
      for (const model::HeardProbe& heard : answer->heard) heard_.insert({host.number, heard.sender, heard.source});
    }
    if (--waiting_ != 0) return;
    if (step == model::ProbeStep::kTell) return finish();
    ask_all(step == model::ProbeStep::kListen ? model::ProbeStep::kSend : model::ProbeStep::kTell);
  }

  void finish() {
    JsonArray dropped, silent;
    std::set<std::pair<std::uint16_t, std::uint16_t>> silent_ways;
    std::size_t judged = 0;
    for (const Pair& pair : pairs_) {
      const auto& [from, as, to] = pair;
      if (failed_.contains(from->number) || failed_.contains(to->number)) continue;
      if (!heard_.contains({to->number, from->number, from->address})) {
        if (!silent_ways.emplace(from->number, to->number).second) continue;
        silent.emplace_back(JsonObject{{"From", from->name}, {"To", to->name}});
        continue;
      }
      ++judged;
      if (heard_.contains({to->number, from->number, as->address})) continue;
      dropped.emplace_back(JsonObject{{"From", from->name}, {"As", as->name}, {"To", to->name}});
    }
    responder_->send(json_response(JsonObject{{"Hosts", hosts_.size()},
                                              {"Pairs", judged},
                                              {"Dropped", std::move(dropped)},
                                              {"Silent", std::move(silent)},
                                              {"Errors", std::move(errors_)}}));
  }

  struct Heard {
    std::uint16_t by = 0, sender = 0;
    IpAddress source;
    auto operator<=>(const Heard&) const = default;
  };

  Context& context_;
  const std::vector<Host> hosts_;
  ResponderPtr responder_;
  std::string token_;
  std::vector<Pair> pairs_;
  std::size_t waiting_ = 0;  // answers to the present step
  std::set<std::uint16_t> failed_;
  std::set<Heard> heard_;
  JsonArray errors_;
};

}  // namespace

void direct_answers(Context& context, const Request&, const ResponderPtr& responder) {
  const Result<manager::Manager*> manager = require_manager(context);
  if (!manager) return responder->send(error_response(manager.error()));
  std::vector<Host> hosts;
  for (const model::NodeRow& row : (*manager)->tables().nodes) {
    const bool asked = context.swarm.acknowledged().contains(row.id) && row.address.is_v4();
    if (asked) hosts.push_back({row.id, row.hostname, row.number, row.address});
  }
  std::ranges::sort(hosts, [](const Host& a, const Host& b) { return natural_less(a.name, b.name); });
  std::make_shared<Probing>(context, std::move(hosts), responder)->ask_all(model::ProbeStep::kListen);
}

}  // namespace mesh::api
