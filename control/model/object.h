// What every object of the cluster has: an id, a version for optimistic updates, and two times (Docker Engine API,
// "ObjectVersion"). The store keeps the version beside the object and sets it on reading.
//
// Every object may also carry "Mesh": what Docker's model has no place for. Answers of the API leave it out.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>

#include "base/json.h"

namespace mesh::model {

using Labels = std::map<std::string, std::string>;
using Options = std::map<std::string, std::string>;

// Grows with each change of the object; an update names the version it was made from, or is refused (kConflict).
struct Version {
  std::uint64_t index = 0;
  auto operator<=>(const Version&) const = default;
};
constexpr auto json_fields(const Version*) { return std::tuple{field("Index", &Version::index)}; }

struct Object {
  std::string id;
  Version version;
  Time created_at;
  Time updated_at;
  bool operator==(const Object&) const = default;
};
// The fields of Object inside those of a derived struct.
constexpr auto object_fields() {
  return std::tuple{field("ID", &Object::id), field("Version", &Object::version),
                    field("CreatedAt", &Object::created_at), field("UpdatedAt", &Object::updated_at)};
}

struct Driver {
  std::string name;
  Options options;
  bool operator==(const Driver&) const = default;
};
constexpr auto json_fields(const Driver*) {
  return std::tuple{field("Name", &Driver::name, kOmitEmpty), field("Options", &Driver::options, kOmitEmpty)};
}

struct Platform {
  std::string architecture;  // "x86_64"
  std::string os;            // "linux"
  bool operator==(const Platform&) const = default;
};
constexpr auto json_fields(const Platform*) {
  return std::tuple{field("Architecture", &Platform::architecture, kOmitEmpty), field("OS", &Platform::os, kOmitEmpty)};
}

// Trust root (PEM) and issuer of a node's certificate, as `node inspect` and `info` show them.
struct TlsInfo {
  std::string trust_root;
  Bytes issuer_subject;
  Bytes issuer_public_key;
  bool operator==(const TlsInfo&) const = default;
};
constexpr auto json_fields(const TlsInfo*) {
  return std::tuple{field("TrustRoot", &TlsInfo::trust_root, kOmitEmpty),
                    field("CertIssuerSubject", &TlsInfo::issuer_subject, kOmitEmpty),
                    field("CertIssuerPublicKey", &TlsInfo::issuer_public_key, kOmitEmpty)};
}

}  // namespace mesh::model
