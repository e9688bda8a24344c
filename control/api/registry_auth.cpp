#include "control/api/registry_auth.h"

#include "base/bytes.h"

namespace mesh::api {

template <class Visit>
static constexpr bool json_fields(const RegistryAuth*, Visit&& visit) {
  using A = RegistryAuth;
  return visit("username", &A::username) && visit("password", &A::password) &&
         visit("serveraddress", &A::server_address) && visit("identitytoken", &A::identity_token);
}

Result<RegistryAuth> registry_auth(const Request& request) {
  const std::string& header = request.header("x-registry-auth");
  if (header.empty()) return RegistryAuth{};
  const std::vector<std::uint8_t> bytes = TRY_IN("X-Registry-Auth", base64_decode(header));
  if (bytes.empty()) return RegistryAuth{};
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const Json value = TRY_IN("X-Registry-Auth", parse_json(text, kHeaderBytesMax));
  if (value.is_null()) return RegistryAuth{};
  if (!value.is_object()) return fail(ErrorKind::kInvalid, "X-Registry-Auth: expected an object");
  return TRY_IN("X-Registry-Auth", decode<RegistryAuth>(value));
}

}  // namespace mesh::api
