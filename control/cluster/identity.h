// A node's identity: its key, its certificate and the cluster's root. On disk two files below <data dir>/cluster:
// node.pem (key and certificate together, so that a renewal replaces both at once; 0600) and ca.pem.
#pragma once

#include <string>

#include "control/cluster/certificate.h"

namespace mesh::cluster {

struct NodeIdentity {
  std::string key_pem;
  std::string certificate_pem;
  std::string ca_pem;
  CertificateInfo info;  // of certificate_pem

  // Checks that the three belong together; times are not checked here.
  [[nodiscard]] static Result<NodeIdentity> make(std::string key_pem, std::string certificate_pem, std::string ca_pem);
  // kNotFound: this node never joined. `directory` is <data dir>/cluster.
  [[nodiscard]] static Result<NodeIdentity> load(const std::string& directory);
  // Makes the directory (0700), writes and syncs, then renames: a crash leaves the old identity or the new one.
  [[nodiscard]] Status save(const std::string& directory) const;
};

// Removes both files; absent ones are no error.
Status remove_identity(const std::string& directory);

}  // namespace mesh::cluster
