#include "control/meshd/manager_role.h"

#include <boost/asio.hpp>
#include <fmt/format.h>

#include "base/file.h"
#include "base/id.h"
#include "base/log.h"
#include "control/cluster/token.h"
#include "control/meshd/host_inquiry.h"
#include "control/meshd/port_inquiry.h"
#include "control/store/sqlite_store.h"

namespace mesh::meshd {
namespace {

namespace asio = boost::asio;

// Names what a sealed value is for: it cannot be opened as another.
constexpr std::string_view kSealCaKey = "ca-key";
constexpr std::string_view kSealWorker = "worker-token";
constexpr std::string_view kSealManager = "manager-token";
// How long the loop's other work may run before a burst of events is reconciled. Zero: after what is queued already.
constexpr Duration kRetryAfterError = std::chrono::seconds(1);

model::NodeCertificate certificate_of(const cluster::CertificateInfo& info) {
  return {info.serial, info.not_before, info.not_after};
}

manager::SessionStart session_start(const cluster::Hello& hello) {
  return {hello.description, hello.address, hello.addresses, hello.connected_routes, hello.have, hello.interfaces};
}

}  // namespace

class ManagerRole::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::io_context& loop, ManagerRoleOptions options, const cluster::NodeIdentity& identity, Callbacks callbacks,
       const store::Seal& seal)
      : loop_(loop),
        options_(std::move(options)),
        identity_(identity),
        callbacks_(std::move(callbacks)),
        seal_(seal),
        inquiries_(loop, [this](const std::string& node, const auto& message) { send(node, message); }),
        traces_(
            loop, [this](const std::string& node, const auto& message) { send(node, message); },
            &cluster::ManagerMessage::trace_question),
        probes_(
            loop, [this](const std::string& node, const auto& message) { send(node, message); },
            &cluster::ManagerMessage::probe_question),
        tick_timer_(loop),
        renewal_timer_(loop) {}

  Status create(const NewCluster& create);
  Status start();
  void stop();
  Status rotate(bool worker, bool manager);
  Result<model::JoinTokens> join_tokens() const;
  void ask_ports(const std::vector<model::PortConfig>& ports, const std::set<std::string>& nodes,
                 std::function<void(Status)> done);
  void changed();
  Status open_session(const std::string& node_id, const cluster::Hello& hello);
  void receive(const std::string& node_id, const cluster::AgentMessage& message);

  asio::io_context& loop_;
  ManagerRoleOptions options_;
  cluster::NodeIdentity identity_;
  Callbacks callbacks_;
  store::Seal seal_;
  std::unique_ptr<manager::Manager> manager_;
  std::optional<cluster::CertificateAuthority> authority_;
  cluster::JoinSecrets secrets_;
  std::unique_ptr<cluster::ManagerServer> server_;
  std::map<std::string, model::TableVersion> acknowledged_;
  bool local_open_ = false;

 private:
  [[nodiscard]] const std::string& self() const { return identity_.info.subject.node_id; }
  [[nodiscard]] Status load_secrets();  // and the CA
  [[nodiscard]] Status store_secrets(const std::string& worker, const std::string& manager);
  [[nodiscard]] cluster::ManagerServer::Callbacks server_callbacks();
  [[nodiscard]] Duration certificate_lifetime() const;
  Result<cluster::JoinAnswer> join(const cluster::JoinRequest& request, const SocketAddress& from);
  Result<std::string> renew(const cluster::Subject& subject, const std::string& request);
  void renew_own();
  void schedule_own_renewal();
  void close_session(const std::string& node_id, const std::string& why);
  void send(const std::string& node_id, const cluster::ManagerMessage& message);
  void schedule_tick(Time at);
  void tick();
  void deliver(const manager::Delivery& delivery);

  PortInquiries inquiries_;

 public:
  TraceInquiries traces_;
  ProbeInquiries probes_;

 private:
  asio::steady_timer tick_timer_, renewal_timer_;
  bool tick_due_ = false;
  bool stopped_ = false;
};

Status ManagerRole::Impl::create(const NewCluster& create) {
  model::Cluster cluster = create.cluster;
  const cluster::IssuerInfo issuer = TRY(cluster::read_issuer(create.authority.certificate_pem()));
  cluster.id = identity_.info.subject.cluster_id;
  cluster.tls_info = model::TlsInfo{create.authority.certificate_pem(), issuer.subject, issuer.public_key};
  cluster.mesh.emplace();
  cluster.mesh->ca_certificate = create.authority.certificate_pem();
  cluster.mesh->ca_key_sealed = TRY(seal_.seal(create.authority.key_pem(), kSealCaKey));
  cluster.mesh->worker_token_sealed = TRY(seal_.seal(cluster::make_secret(), kSealWorker));
  cluster.mesh->manager_token_sealed = TRY(seal_.seal(cluster::make_secret(), kSealManager));
  const Time now = wall_now();
  TRY(manager_->init_cluster(std::move(cluster), create.connected_routes, now));
  manager::NodeJoin node;
  node.id = self();
  node.hostname = create.hostname;
  node.role = model::NodeRole::kManager;
  node.availability = create.availability;
  node.certificate = certificate_of(identity_.info);
  node.this_manager = true;
  node.manager_addr = options_.advertise.to_string();
  return manager_->add_node(node, now);
}

Status ManagerRole::Impl::load_secrets() {
  const model::Cluster* cluster = manager_->view().cluster();
  if (cluster == nullptr || !cluster->mesh) {
    return fail(ErrorKind::kInternal, "the store in " + options_.directory + " holds no cluster");
  }
  const std::string key = TRY_IN("CA key", seal_.unseal(cluster->mesh->ca_key_sealed, kSealCaKey));
  authority_ = TRY(cluster::CertificateAuthority::load(cluster->mesh->ca_certificate, key));
  secrets_.worker = TRY_IN("worker token", seal_.unseal(cluster->mesh->worker_token_sealed, kSealWorker));
  secrets_.manager = TRY_IN("manager token", seal_.unseal(cluster->mesh->manager_token_sealed, kSealManager));
  return {};
}

Status ManagerRole::Impl::start() {
  TRY(load_secrets());
  // After a long pause our certificate may be old or expired; the CA is ours to ask.
  if (wall_now() >= cluster::renewal_time(identity_.info, 0.5)) renew_own();
  server_ = std::make_unique<cluster::ManagerServer>(loop_, identity_, server_callbacks());
  const SocketAddress bound = TRY(server_->listen(options_.listen));
  spdlog::info("cluster port open listen={} advertise={}", bound.to_string(), options_.advertise.to_string());
  schedule_own_renewal();
  changed();
  return {};
}

void ManagerRole::Impl::stop() {
  stopped_ = true;
  tick_timer_.cancel();
  renewal_timer_.cancel();
  if (server_) server_->stop();
  manager_.reset();  // and with it the store: the next role may open it although handlers of ours are still queued
}

cluster::ManagerServer::Callbacks ManagerRole::Impl::server_callbacks() {
  // The server calls nothing after its stop(), which comes before our end.
  cluster::ManagerServer::Callbacks callbacks;
  callbacks.join = [this](const auto& request, const SocketAddress& from) { return join(request, from); };
  callbacks.renew = [this](const auto& subject, const std::string& request) { return renew(subject, request); };
  callbacks.is_member = [this](const std::string& id) { return manager_->view().node(id) != nullptr; };
  callbacks.on_hello = [this](const std::string& id, const cluster::Hello& hello) { return open_session(id, hello); };
  callbacks.on_message = [this](const std::string& id, const auto& message) { receive(id, message); };
  callbacks.on_close = [this](const std::string& id, const std::string& why) { close_session(id, why); };
  return callbacks;
}

Duration ManagerRole::Impl::certificate_lifetime() const {
  const model::Cluster* cluster = manager_->view().cluster();
  const Duration wanted = cluster == nullptr ? Duration{} : cluster->spec.ca_config.node_cert_expiry;
  return wanted <= Duration::zero() ? cluster::kNodeLifetime : std::max(wanted, cluster::kNodeLifetimeMin);
}

Result<cluster::JoinAnswer> ManagerRole::Impl::join(const cluster::JoinRequest& request, const SocketAddress& from) {
  const cluster::Role role = TRY(cluster::role_of_secret(secrets_, request.secret));
  if (role == cluster::Role::kManager) {
    return fail(ErrorKind::kUnsupported,
                "this cluster keeps its state with one manager; join as a worker (swarm join-token worker)");
  }
  cluster::Subject subject{make_id(), role, identity_.info.subject.cluster_id};
  const Time now = wall_now();
  cluster::JoinAnswer answer;
  answer.certificate = TRY(authority_->issue(request.request, subject, now, certificate_lifetime()));
  const cluster::CertificateInfo info = TRY(cluster::read_certificate(answer.certificate));
  manager::NodeJoin node;
  node.id = subject.node_id;
  node.hostname = request.hostname.substr(0, 253);
  node.role = role;
  if (!request.availability.empty()) {
    node.availability = TRY(decode<model::Availability>(Json(request.availability), "Availability"));
  }
  node.certificate = certificate_of(info);
  TRY(manager_->add_node(node, now));
  spdlog::info("node joined node={} hostname={} peer={}", node.id, node.hostname, from.ip.to_string());
  changed();
  return answer;
}

Result<std::string> ManagerRole::Impl::renew(const cluster::Subject& subject, const std::string& request) {
  const model::Node* node = manager_->view().node(subject.node_id);
  if (node == nullptr) return fail(ErrorKind::kForbidden, "the node was removed from the cluster");
  const cluster::Subject wanted{subject.node_id, node->spec.role, identity_.info.subject.cluster_id};
  const Time now = wall_now();
  std::string pem = TRY(authority_->issue(request, wanted, now, certificate_lifetime()));
  const cluster::CertificateInfo info = TRY(cluster::read_certificate(pem));
  TRY(manager_->update_node_certificate(subject.node_id, certificate_of(info), now));
  changed();
  return pem;
}

void ManagerRole::Impl::schedule_own_renewal() {
  const Time at = cluster::renewal_time(identity_.info, 0.5);
  // In steps, because the wall clock may be set.
  const Duration wait = std::clamp(at - wall_now(), Duration(std::chrono::seconds(1)), Duration(std::chrono::hours(1)));
  renewal_timer_.expires_after(std::chrono::duration_cast<std::chrono::steady_clock::duration>(wait));
  renewal_timer_.async_wait([self = shared_from_this(), at](const boost::system::error_code& error) {
    if (error || self->stopped_) return;
    if (wall_now() >= at) self->renew_own();
    self->schedule_own_renewal();
  });
}

void ManagerRole::Impl::renew_own() {
  const auto renewed = [this]() -> Status {
    cluster::KeyRequest key = TRY(cluster::make_key_request());
    std::string pem = TRY(renew(identity_.info.subject, key.request_pem));
    identity_ = TRY(cluster::NodeIdentity::make(std::move(key.key_pem), std::move(pem), identity_.ca_pem));
    return server_ ? server_->use_identity(identity_) : Status{};
  }();
  if (!renewed) {
    spdlog::error("certificate of this manager not renewed error=\"{}\"", renewed.error().message);
    return;
  }
  callbacks_.on_identity(identity_);
}

Status ManagerRole::Impl::store_secrets(const std::string& worker, const std::string& manager) {
  model::ClusterMesh mesh = *manager_->view().cluster()->mesh;
  mesh.worker_token_sealed = TRY(seal_.seal(worker, kSealWorker));
  mesh.manager_token_sealed = TRY(seal_.seal(manager, kSealManager));
  TRY(manager_->update_cluster_mesh(mesh, wall_now()));
  secrets_ = {worker, manager};
  return {};
}

Status ManagerRole::Impl::rotate(bool worker, bool manager) {
  return store_secrets(worker ? cluster::make_secret() : secrets_.worker,
                       manager ? cluster::make_secret() : secrets_.manager);
}

Result<model::JoinTokens> ManagerRole::Impl::join_tokens() const {
  return model::JoinTokens{cluster::JoinToken{authority_->digest(), secrets_.worker}.to_string(),
                           cluster::JoinToken{authority_->digest(), secrets_.manager}.to_string()};
}

Status ManagerRole::Impl::open_session(const std::string& node_id, const cluster::Hello& hello) {
  manager::SessionStart start = session_start(hello);
  if (const model::Cluster* cluster = manager_->view().cluster(); cluster != nullptr && cluster->tls_info) {
    start.description.tls_info = *cluster->tls_info;
  }
  cluster::ManagerMessage message;
  message.welcome.emplace();
  message.welcome->node_number = TRY(manager_->session_opened(node_id, start, wall_now()));
  message.welcome->cluster_id = identity_.info.subject.cluster_id;
  message.welcome->heartbeat_period = manager_->heartbeat_period();
  message.welcome->gateway_v4 = manager_->gateway_v4();
  message.welcome->gateway_v6 = manager_->gateway_v6();
  acknowledged_[node_id] = hello.have;
  spdlog::info("session open node={} hostname={} address={}", node_id, hello.description.hostname,
               hello.address.to_string());
  send(node_id, message);
  changed();
  return {};
}

void ManagerRole::Impl::close_session(const std::string& node_id, const std::string& why) {
  spdlog::info("session closed node={} reason=\"{}\"", node_id, why);
  acknowledged_.erase(node_id);
  inquiries_.lost(node_id);
  traces_.lost(node_id);
  probes_.lost(node_id);
  manager_->session_closed(node_id, wall_now());
  changed();
}

void ManagerRole::Impl::receive(const std::string& node_id, const cluster::AgentMessage& message) {
  const Time now = wall_now();
  if (message.heartbeat) {
    manager_->heartbeat(node_id, now);
    cluster::ManagerMessage echo;
    echo.heartbeat = message.heartbeat;
    return send(node_id, echo);
  }
  if (message.port_answer) return inquiries_.answer(node_id, *message.port_answer);
  if (message.trace_answer) return traces_.answer(node_id, *message.trace_answer);
  if (message.probe_answer) return probes_.answer(node_id, *message.probe_answer);
  if (message.status) {
    std::vector<manager::TaskReport> reports;
    reports.reserve(message.status->tasks.size());
    for (const auto& [task_id, status, unhealthy] : message.status->tasks) {
      reports.push_back({task_id, status, unhealthy});
    }
    manager_->report(node_id, reports, now);
  }
  if (message.routes) {
    const cluster::NetworkReport& network = *message.routes;
    manager_->network(node_id, {network.connected, network.addresses, network.interfaces}, now);
  }
  if (message.acknowledge) {
    acknowledged_[node_id] = message.acknowledge->version;
    manager_->acknowledge(node_id, message.acknowledge->version, message.acknowledge->problems, now);
  }
  if (message.foreign) {
    std::vector<manager::ForeignReport> reports;
    for (const auto& [service_id, protocol, port, ring_version, held] : *message.foreign) {
      reports.push_back({service_id, protocol, port, ring_version, held});
    }
    manager_->foreign(node_id, reports, now);
  }
  changed();
}

void ManagerRole::Impl::ask_ports(const std::vector<model::PortConfig>& ports, const std::set<std::string>& nodes,
                                  std::function<void(Status)> done) {
  std::set<std::string> asked;
  for (const auto& [id, version] : acknowledged_) {
    if (nodes.contains(id)) asked.insert(id);
  }
  std::vector<cluster::PortName> names;
  names.reserve(ports.size());
  for (const model::PortConfig& port : ports) {
    names.push_back({model::protocol_name(model::protocol_of(port)), port.published_port});
  }
  inquiries_.ask(asked, std::move(names), std::move(done));
}

void ManagerRole::Impl::send(const std::string& node_id, const cluster::ManagerMessage& message) {
  if (node_id != self()) {
    (void)server_->send(node_id, message);  // a session that ended meanwhile gets everything again when it is back
    return;
  }
  // Later, as from a wire: the agent may answer from inside.
  asio::post(loop_, [self = shared_from_this(), message] {
    if (!self->stopped_ && self->local_open_) self->callbacks_.to_local_agent(message);
  });
}

void ManagerRole::Impl::changed() {
  std::vector<std::string> removed;
  for (const auto& [id, version] : acknowledged_) {
    if (manager_->view().node(id) == nullptr) removed.push_back(id);
  }
  for (const std::string& id : removed) server_->close(id, "the node was removed from the cluster");
  if (std::exchange(tick_due_, true)) return;
  asio::post(loop_, [self = shared_from_this()] {
    self->tick_due_ = false;
    if (!self->stopped_) self->tick();
  });
}

void ManagerRole::Impl::schedule_tick(Time at) {
  const Duration wait = std::clamp(at - wall_now(), Duration::zero(), Duration(std::chrono::hours(1)));
  tick_timer_.expires_after(std::chrono::duration_cast<std::chrono::steady_clock::duration>(wait));
  tick_timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    if (!error && !self->stopped_) self->tick();
  });
}

void ManagerRole::Impl::tick() {
  const Time now = wall_now();
  if (local_open_) manager_->heartbeat(self(), now);  // it lives as long as we do
  const Result<manager::Step> step = manager_->tick(now);
  if (!step) {
    spdlog::error("the cluster's state cannot be written; trying again error=\"{}\"", step.error().message);
    return schedule_tick(now + kRetryAfterError);
  }
  for (const manager::Delivery& delivery : step->deliveries) deliver(delivery);
  schedule_tick(step->next);
  callbacks_.on_change();
}

void ManagerRole::Impl::deliver(const manager::Delivery& delivery) {
  cluster::ManagerMessage message;
  const auto send_one = [&] { send(delivery.node_id, std::exchange(message, {})); };
  if (delivery.tables) {
    message.tables = delivery.tables;
    send_one();
  }
  if (delivery.table_change) {
    message.table_change = delivery.table_change;
    send_one();
  }
  if (delivery.assignments) {
    message.assignments = cluster::Assignments{*delivery.assignments};
    send_one();
  }
  if (!delivery.upsert.empty() || !delivery.removed.empty()) {
    message.assignment_change = cluster::AssignmentChange{delivery.upsert, delivery.removed};
    send_one();
  }
}

Result<std::unique_ptr<ManagerRole>> ManagerRole::open(asio::io_context& loop, ManagerRoleOptions options,
                                                       const cluster::NodeIdentity& identity, Callbacks callbacks,
                                                       std::optional<NewCluster> create) {
  TRY(make_directories(options.directory, 0700));
  const store::Seal seal = TRY(store::Seal::open(options.directory + "/seal.key"));
  std::unique_ptr<store::Store> store = TRY(store::open_sqlite_store(options.directory + "/store.db"));
  auto impl = std::make_shared<Impl>(loop, std::move(options), identity, std::move(callbacks), seal);
  impl->manager_ = TRY(manager::Manager::open(std::move(store), wall_now()));
  if (create) TRY(impl->create(*create));
  if (const Status started = impl->start(); !started) {
    impl->stop();
    return std::unexpected(started.error());
  }
  return std::unique_ptr<ManagerRole>(new ManagerRole(std::move(impl)));
}

Status ManagerRole::remove(const std::string& directory) {
  for (const char* name : {"/store.db", "/store.db-wal", "/store.db-shm", "/seal.key"}) {
    TRY(remove_tree(directory + name));
  }
  return {};
}

ManagerRole::ManagerRole(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
ManagerRole::~ManagerRole() { impl_->stop(); }
manager::Manager& ManagerRole::manager() { return *impl_->manager_; }
Result<model::JoinTokens> ManagerRole::join_tokens() const { return impl_->join_tokens(); }
Status ManagerRole::rotate_tokens(bool worker, bool manager) { return impl_->rotate(worker, manager); }
void ManagerRole::ask_ports(const std::vector<model::PortConfig>& ports, const std::set<std::string>& nodes,
                            std::function<void(Status)> done) {
  impl_->ask_ports(ports, nodes, std::move(done));
}
void ManagerRole::ask_trace(const std::string& node_id, const model::TraceQuestion& question,
                            std::function<bool()> wanted, std::function<void(Result<model::TraceAnswer>)> done) {
  impl_->traces_.ask(node_id, question, std::move(wanted), std::move(done));
}
void ManagerRole::ask_probe(const std::string& node_id, const model::ProbeQuestion& question,
                            std::function<void(Result<model::ProbeAnswer>)> done) {
  impl_->probes_.ask(node_id, question, std::move(done));
}
void ManagerRole::changed() { impl_->changed(); }

Status ManagerRole::open_local(const cluster::Hello& hello) {
  impl_->local_open_ = true;
  return impl_->open_session(hello.node_id, hello);
}
void ManagerRole::from_local_agent(cluster::AgentMessage message) {
  asio::post(impl_->loop_, [weak = std::weak_ptr(impl_), message = std::move(message)] {
    const auto impl = weak.lock();
    if (impl && impl->manager_ && impl->local_open_) impl->receive(impl->identity_.info.subject.node_id, message);
  });
}
const std::map<std::string, model::TableVersion>& ManagerRole::acknowledged() const { return impl_->acknowledged_; }
cluster::ServerCounters ManagerRole::counters() const { return impl_->server_->counters(); }

}  // namespace mesh::meshd
