#include "control/cluster/tls.h"

#include "control/cluster/openssl.h"

namespace mesh::cluster {
namespace {

Result<SslContextPtr> make_context(const SSL_METHOD* method) {
  SslContextPtr context(SSL_CTX_new(method));
  if (!context || SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_max_proto_version(context.get(), TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_num_tickets(context.get(), 0) != 1) {
    return fail_openssl(ErrorKind::kInternal, "setting up TLS 1.3");
  }
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE);
  return context;
}

Status use_identity(SSL_CTX* context, const NodeIdentity& identity) {
  const CertificatePtr certificate = TRY(parse_certificate(identity.certificate_pem, "node certificate"));
  const KeyPtr key = TRY(parse_key(identity.key_pem, "node key"));
  CertificatePtr root = TRY(parse_certificate(identity.ca_pem, "root certificate"));
  if (SSL_CTX_use_certificate(context, certificate.get()) != 1 || SSL_CTX_use_PrivateKey(context, key.get()) != 1 ||
      X509_STORE_add_cert(SSL_CTX_get_cert_store(context), root.get()) != 1) {
    return fail_openssl(ErrorKind::kInvalid, "using the node's certificate");
  }
  // The root goes along: a joiner looks for the one its token pins.
  if (SSL_CTX_add_extra_chain_cert(context, root.get()) != 1) {
    return fail_openssl(ErrorKind::kInternal, "using the root certificate");
  }
  (void)root.release();  // owned by the context now
  return {};
}

// A server that the root signed may be any node of the cluster; only managers may be obeyed.
int require_manager(int verified, X509_STORE_CTX* chain) {
  if (verified != 1 || X509_STORE_CTX_get_error_depth(chain) != 0) return verified;
  const Result<std::string> pem = to_pem(X509_STORE_CTX_get_current_cert(chain));
  const Result<CertificateInfo> info = pem ? read_certificate(*pem) : std::unexpected(pem.error());
  if (info && info->subject.role == Role::kManager) return 1;
  X509_STORE_CTX_set_error(chain, X509_V_ERR_APPLICATION_VERIFICATION);
  return 0;
}

std::shared_ptr<ssl_ctx_st> shared(SslContextPtr context) { return {context.release(), SSL_CTX_free}; }

// The chain store -> leaf holds now, for the given purpose.
Status verify_leaf(X509* leaf, X509* root) {
  const StorePtr store(X509_STORE_new());
  const StoreContextPtr context(X509_STORE_CTX_new());
  if (!store || !context || X509_STORE_add_cert(store.get(), root) != 1 ||
      X509_STORE_CTX_init(context.get(), store.get(), leaf, nullptr) != 1 ||
      X509_STORE_CTX_set_purpose(context.get(), X509_PURPOSE_SSL_SERVER) != 1) {
    return fail_openssl(ErrorKind::kInternal, "verifying the manager's certificate");
  }
  if (X509_verify_cert(context.get()) == 1) return {};
  ERR_clear_error();
  return fail(ErrorKind::kUnauthorized, std::string("the manager's certificate is not valid: ") +
                                            X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get())));
}

}  // namespace

Result<TlsContext> TlsContext::server(const NodeIdentity& identity) {
  SslContextPtr context = TRY(make_context(TLS_server_method()));
  TRY(use_identity(context.get(), identity));
  const CertificatePtr root = TRY(parse_certificate(identity.ca_pem, "root certificate"));
  if (SSL_CTX_add_client_CA(context.get(), root.get()) != 1) {
    return fail_openssl(ErrorKind::kInternal, "naming the root to clients");
  }
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  return TlsContext(shared(std::move(context)));
}

Result<TlsContext> TlsContext::client(const NodeIdentity& identity) {
  SslContextPtr context = TRY(make_context(TLS_client_method()));
  TRY(use_identity(context.get(), identity));
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, require_manager);
  return TlsContext(shared(std::move(context)));
}

Result<TlsContext> TlsContext::joiner() {
  SslContextPtr context = TRY(make_context(TLS_client_method()));
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  return TlsContext(shared(std::move(context)));
}

ssl_ctx_st* TlsContext::share() const {
  SSL_CTX_up_ref(context_.get());
  return context_.get();
}

Result<std::optional<CertificateInfo>> peer_certificate(ssl_st* connection) {
  X509* certificate = SSL_get0_peer_certificate(connection);
  if (certificate == nullptr) return std::nullopt;
  if (SSL_get_verify_result(connection) != X509_V_OK) {
    return fail(ErrorKind::kUnauthorized, "the peer's certificate was not verified");
  }
  const std::string pem = TRY(to_pem(certificate));
  return TRY(read_certificate(pem));
}

Result<std::string> check_pinned(ssl_st* connection, const Digest& ca_digest) {
  X509* leaf = SSL_get0_peer_certificate(connection);
  STACK_OF(X509)* chain = SSL_get_peer_cert_chain(connection);
  if (leaf == nullptr || chain == nullptr) return fail(ErrorKind::kUnauthorized, "the manager shows no certificate");
  for (int i = 0; i < sk_X509_num(chain); ++i) {
    X509* root = sk_X509_value(chain, i);
    std::string pem = TRY(to_pem(root));
    const Digest digest = TRY(certificate_digest(pem));
    if (digest != ca_digest || X509_check_ca(root) != 1) continue;
    TRY(verify_leaf(leaf, root));
    const std::string leaf_pem = TRY(to_pem(leaf));
    const CertificateInfo info = TRY(read_certificate(leaf_pem));
    if (info.subject.role != Role::kManager) {
      return fail(ErrorKind::kUnauthorized, "the node that answers is not a manager");
    }
    return pem;
  }
  return fail(ErrorKind::kUnauthorized,
              "the root certificate of the cluster that answers is not the one in the join token; the token or the "
              "address belongs to another cluster (nothing secret was sent)");
}

}  // namespace mesh::cluster
