#include "control/cluster/identity.h"

#include "base/file.h"
#include "control/cluster/openssl.h"

namespace mesh::cluster {

Result<NodeIdentity> NodeIdentity::make(std::string key_pem, std::string certificate_pem, std::string ca_pem) {
  const CertificatePtr certificate = TRY(parse_certificate(certificate_pem, "node certificate"));
  const CertificatePtr root = TRY(parse_certificate(ca_pem, "root certificate"));
  const KeyPtr key = TRY(parse_key(key_pem, "node key"));
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return fail_openssl(ErrorKind::kInvalid, "the node's certificate and key do not belong together");
  }
  const KeyPtr root_key(X509_get_pubkey(root.get()));
  if (!root_key || X509_verify(certificate.get(), root_key.get()) != 1) {
    return fail_openssl(ErrorKind::kInvalid, "the node's certificate is not signed by this cluster's root");
  }
  NodeIdentity identity;
  identity.info = TRY(read_certificate(certificate_pem));
  identity.key_pem = std::move(key_pem);
  identity.certificate_pem = std::move(certificate_pem);
  identity.ca_pem = std::move(ca_pem);
  return identity;
}

Result<NodeIdentity> NodeIdentity::load(const std::string& directory) {
  const std::string node = TRY(read_file(directory + "/node.pem"));
  std::string root = TRY(read_file(directory + "/ca.pem"));
  const std::size_t split = node.find("-----BEGIN CERTIFICATE-----");
  if (split == std::string::npos) {
    return fail(ErrorKind::kInvalid, directory + "/node.pem holds no certificate; leave the swarm and join again");
  }
  return TRY_IN(directory, make(node.substr(0, split), node.substr(split), std::move(root)));
}

Status NodeIdentity::save(const std::string& directory) const {
  TRY(make_directories(directory, 0700));
  TRY(write_file(directory + "/ca.pem", ca_pem, 0644));
  return write_file(directory + "/node.pem", key_pem + certificate_pem, 0600);
}

Status remove_identity(const std::string& directory) {
  TRY(remove_tree(directory + "/node.pem"));
  return remove_tree(directory + "/ca.pem");
}

}  // namespace mesh::cluster
