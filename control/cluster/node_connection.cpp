#include "control/cluster/node_connection.h"

#include <algorithm>
#include <utility>

namespace mesh::cluster {
namespace {

// A close frame is answered within this, or the connection is cut.
constexpr Duration kCloseTimeout = std::chrono::seconds(2);

}  // namespace

NodeConnection::NodeConnection(Tcp::socket socket, const TlsContext& settings, const SocketAddress& peer)
    : context_(settings.share()), socket_(std::move(socket), context_), expiry_(tls().get_executor()), peer_(peer) {}

void NodeConnection::send(const ManagerMessage& message) {
  if (closing_) return;
  queue_.push_back(to_text(encode(message)));
  if (queue_.size() == 1) write_next();
}

void NodeConnection::write_next() {
  socket_.write(queue_.front(), [self = shared_from_this()](ErrorCode error) {
    if (error) return;  // the reader reports it
    self->queue_.pop_front();
    if (!self->queue_.empty() && !self->cut_) self->write_next();
  });
}

void NodeConnection::close_politely(const std::string& why) {
  if (std::exchange(closing_, true)) return;
  socket_.close(why, [self = shared_from_this()](ErrorCode) {});
  cut_later();
}

asio::awaitable<void> NodeConnection::say_why(std::string why) {
  if (std::exchange(closing_, true)) co_return;
  cut_later();
  [[maybe_unused]] const ErrorCode ignored = co_await socket_.close(why);
}

void NodeConnection::cut_later() {
  expiry_.expires_after(to_steady(kCloseTimeout));
  expiry_.async_wait([self = shared_from_this()](const ErrorCode& error) {
    if (!error) self->cut();
  });
}

void NodeConnection::cut() {
  cut_ = true;
  expiry_.cancel();
  tls().tcp().close();
}

void NodeConnection::at_expiry(Time not_after, std::function<void()> call) {
  expiry_.expires_after(to_steady(std::max(not_after - wall_now(), Duration::zero())));
  expiry_.async_wait([self = shared_from_this(), call = std::move(call)](const ErrorCode& error) {
    if (!error) call();
  });
}

}  // namespace mesh::cluster
