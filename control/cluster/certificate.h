// The cluster's certificate authority and the certificates of its nodes: EC P-256, PEM text at the edges, OpenSSL 3
// inside. A node's certificate names it: CN = node id, OU = swarm-worker | swarm-manager, O = cluster id.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "control/cluster/token.h"
#include "control/model/node.h"

namespace mesh::cluster {

using Role = model::NodeRole;
[[nodiscard]] std::string_view role_unit(Role role);  // "swarm-worker", "swarm-manager"

// Who a certificate says its holder is.
struct Subject {
  std::string node_id;
  Role role = Role::kWorker;
  std::string cluster_id;
  bool operator==(const Subject&) const = default;
};

struct CertificateInfo {
  Subject subject;
  std::string serial;  // hex
  Time not_before{}, not_after{};
};

inline constexpr Duration kRootLifetime = std::chrono::hours(24 * 365 * 20);
inline constexpr Duration kNodeLifetime = std::chrono::hours(24 * 90);
inline constexpr Duration kNodeLifetimeMin = std::chrono::hours(1);
// Certificates are valid from an hour before they are made: clocks of hosts differ.
inline constexpr Duration kBackdate = std::chrono::hours(1);

// A private key and the request for a certificate of its public half.
struct KeyRequest {
  std::string key_pem;
  std::string request_pem;
};
[[nodiscard]] Result<KeyRequest> make_key_request();

// Not a node's certificate (no CN, unknown OU): kInvalid.
[[nodiscard]] Result<CertificateInfo> read_certificate(std::string_view pem);
// Name and public key (DER) of a root certificate, as the Docker API shows them in TLSInfo.
struct IssuerInfo {
  std::vector<std::uint8_t> subject, public_key;
};
[[nodiscard]] Result<IssuerInfo> read_issuer(std::string_view root_pem);
// SHA-256 of the certificate's DER form: what a join token pins.
[[nodiscard]] Result<Digest> certificate_digest(std::string_view pem);
// Moment to renew: 50-80 % of its life, by `fraction` in [0, 1], random so that nodes do not come at once.
[[nodiscard]] Time renewal_time(const CertificateInfo& info, double fraction);

class CertificateAuthority {
 public:
  [[nodiscard]] static Result<CertificateAuthority> create(const std::string& cluster_id, Time now);
  // kInvalid if key and certificate do not belong together.
  [[nodiscard]] static Result<CertificateAuthority> load(std::string certificate_pem, std::string key_pem);

  // Signs the key of `request_pem`; names and extensions of the request are ignored, the subject is ours to choose.
  // kInvalid: not a request, its signature is wrong, or its key is not EC P-256.
  [[nodiscard]] Result<std::string> issue(std::string_view request_pem, const Subject& subject, Time now,
                                          Duration lifetime = kNodeLifetime) const;

  [[nodiscard]] const std::string& certificate_pem() const { return certificate_pem_; }
  [[nodiscard]] const std::string& key_pem() const { return key_pem_; }
  [[nodiscard]] const Digest& digest() const { return digest_; }

 private:
  CertificateAuthority() = default;
  std::string certificate_pem_, key_pem_;
  Digest digest_{};
};

}  // namespace mesh::cluster
