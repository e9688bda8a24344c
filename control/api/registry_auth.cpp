#include "control/api/registry_auth.h"

#include "base/bytes.h"

namespace mesh::api {

static constexpr auto json_fields(const RegistryAuth*) {
  using A = RegistryAuth;
  return std::tuple{field("username", &A::username), field("password", &A::password),
                    field("serveraddress", &A::server_address), field("identitytoken", &A::identity_token)};
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
