// What every object of the cluster has: an id, a version for optimistic updates, and two times (Docker Engine API,
// "ObjectVersion"). The store keeps the version beside the object and sets it on reading.
//
// Every object may also carry "Mesh": what Docker's model has no place for. Answers of the API leave it out.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/json.h"

namespace mesh::model {

using Labels = std::map<std::string, std::string>;
using Options = std::map<std::string, std::string>;

// Grows with each change of the object; an update names the version it was made from, or is refused (kConflict).
struct Version {
  std::uint64_t index = 0;
  auto operator<=>(const Version&) const = default;
};
template <class Visit>
constexpr bool json_fields(const Version*, Visit&& visit) {
  return visit("Index", &Version::index);
}

struct Object {
  std::string id;
  Version version;
  Time created_at;
  Time updated_at;
  bool operator==(const Object&) const = default;
};
// The fields of Object inside those of a derived struct.
template <class Visit>
constexpr bool object_fields(Visit&& visit) {
  return visit("ID", &Object::id) && visit("Version", &Object::version) && visit("CreatedAt", &Object::created_at) &&
         visit("UpdatedAt", &Object::updated_at);
}

struct Driver {
  std::string name;
  Options options;
  bool operator==(const Driver&) const = default;
};
template <class Visit>
constexpr bool json_fields(const Driver*, Visit&& visit) {
  return visit("Name", &Driver::name, kOmitEmpty) && visit("Options", &Driver::options, kOmitEmpty);
}

struct Platform {
  std::string architecture;  // "x86_64"
  std::string os;            // "linux"
  bool operator==(const Platform&) const = default;
};
template <class Visit>
constexpr bool json_fields(const Platform*, Visit&& visit) {
  return visit("Architecture", &Platform::architecture, kOmitEmpty) && visit("OS", &Platform::os, kOmitEmpty);
}

// Trust root (PEM) and issuer of a node's certificate, as `node inspect` and `info` show them.
struct TlsInfo {
  std::string trust_root;
  Bytes issuer_subject;
  Bytes issuer_public_key;
  bool operator==(const TlsInfo&) const = default;
};
template <class Visit>
constexpr bool json_fields(const TlsInfo*, Visit&& visit) {
  return visit("TrustRoot", &TlsInfo::trust_root, kOmitEmpty) &&
         visit("CertIssuerSubject", &TlsInfo::issuer_subject, kOmitEmpty) &&
         visit("CertIssuerPublicKey", &TlsInfo::issuer_public_key, kOmitEmpty);
}

}  // namespace mesh::model
