// TLS 1.3 settings of the cluster port, and who is at the other end. No session tickets, no resumption: every
// connection shows its certificate, so a removed node is out with its next connection.
#pragma once

#include <memory>
#include <optional>

#include "control/cluster/identity.h"

struct ssl_ctx_st;
struct ssl_st;

namespace mesh::cluster {

// Shared ownership of one SSL_CTX; copies name the same one.
class TlsContext {
 public:
  // A manager's port. A client certificate is asked for and, if shown, must be the cluster's; without one only the join
  // route is served (ManagerServer's business).
  [[nodiscard]] static Result<TlsContext> server(const NodeIdentity& identity);
  // A node to a manager: shows its certificate; the server's must be the cluster's and a manager's.
  [[nodiscard]] static Result<TlsContext> client(const NodeIdentity& identity);
  // Before joining: shows nothing and believes nothing until check_pinned() has passed.
  [[nodiscard]] static Result<TlsContext> joiner();

  // A new reference for an owner such as boost::asio::ssl::context.
  [[nodiscard]] ssl_ctx_st* share() const;

 private:
  explicit TlsContext(std::shared_ptr<ssl_ctx_st> context) : context_(std::move(context)) {}
  std::shared_ptr<ssl_ctx_st> context_;
};

// The certificate that the peer showed and the handshake verified; nullopt if it showed none.
[[nodiscard]] Result<std::optional<CertificateInfo>> peer_certificate(ssl_st* connection);

// After a joiner's handshake: one of the certificates shown has this digest, is a root, and signed the server's
// certificate, which is a manager's and in force. Gives the root as PEM. kUnauthorized otherwise.
[[nodiscard]] Result<std::string> check_pinned(ssl_st* connection, const Digest& ca_digest);

}  // namespace mesh::cluster
