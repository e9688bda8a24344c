#include "control/store/seal.h"

#include <cerrno>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/fd.h"
#include "base/file.h"

namespace mesh::store {
namespace {

constexpr std::uint8_t kFormat = 1;
constexpr std::size_t kNonceBytes = 12;  // GCM's own size, SP 800-38D §5.2.1.1
constexpr std::size_t kTagBytes = 16;
constexpr std::size_t kPlainBytesMax = 1U << 20U;

struct FreeCipher {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Cipher = std::unique_ptr<EVP_CIPHER_CTX, FreeCipher>;

std::unexpected<Error> broken(std::string_view what) {
  return fail(ErrorKind::kInternal, fmt::format("{}: OpenSSL failed", what));
}

// The authenticated part that is not stored: format and purpose.
Status authenticate(EVP_CIPHER_CTX* context, bool encrypt, std::string_view purpose) {
  int length = 0;
  const auto* text = reinterpret_cast<const unsigned char*>(purpose.data());
  const auto update = encrypt ? EVP_EncryptUpdate : EVP_DecryptUpdate;
  if (update(context, nullptr, &length, &kFormat, 1) != 1 ||
      update(context, nullptr, &length, text, static_cast<int>(purpose.size())) != 1) {
    return broken("seal");
  }
  return {};
}

// Makes the key file so that it is there in full or not at all.
Status make_key(const std::string& path) {
  Seal::Key key{};
  if (RAND_bytes(key.data(), static_cast<int>(key.size())) != 1) return broken("make a sealing key");
  return write_file(path, std::string_view(reinterpret_cast<const char*>(key.data()), key.size()), 0600);
}

}  // namespace

Result<Seal> Seal::open(const std::string& key_path) {
  struct stat info{};
  if (stat(key_path.c_str(), &info) != 0) {
    if (errno != ENOENT) return fail_errno(fmt::format("sealing key {}", key_path), errno);
    TRY(make_key(key_path));
  }
  const std::string text = TRY(read_file(key_path, kKeyBytes + 1));
  if (text.size() != kKeyBytes) {
    return fail(ErrorKind::kInvalid, fmt::format("sealing key {} has {} bytes instead of {}; restore it from a copy",
                                                 key_path, text.size(), kKeyBytes));
  }
  Key key{};
  std::copy(text.begin(), text.end(), key.begin());
  return Seal(key);
}

Result<Bytes> Seal::seal(std::string_view plain, std::string_view purpose) const {
  if (plain.size() > kPlainBytesMax) {
    return fail(ErrorKind::kExhausted,
                fmt::format("{} bytes are too many to seal, limit {}", plain.size(), kPlainBytesMax));
  }
  Bytes sealed(1 + kNonceBytes + plain.size() + kTagBytes);
  sealed[0] = kFormat;
  std::uint8_t* const nonce = sealed.data() + 1;
  std::uint8_t* const body = nonce + kNonceBytes;
  if (RAND_bytes(nonce, kNonceBytes) != 1) return broken("seal");
  const Cipher context(EVP_CIPHER_CTX_new());
  if (!context || EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key_.data(), nonce) != 1) {
    return broken("seal");
  }
  TRY(authenticate(context.get(), true, purpose));
  int length = 0;
  if (EVP_EncryptUpdate(context.get(), body, &length, reinterpret_cast<const unsigned char*>(plain.data()),
                        static_cast<int>(plain.size())) != 1 ||
      EVP_EncryptFinal_ex(context.get(), body + length, &length) != 1 ||
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes, body + plain.size()) != 1) {
    return broken("seal");
  }
  return sealed;
}

Result<std::string> Seal::unseal(const Bytes& sealed, std::string_view purpose) const {
  const auto refused = [&](std::string_view why) {
    return fail(ErrorKind::kForbidden, fmt::format("cannot unseal {}: {}", purpose, why));
  };
  if (sealed.size() < 1 + kNonceBytes + kTagBytes) return refused("it is too short");
  if (sealed[0] != kFormat) return refused(fmt::format("unknown format {}", sealed[0]));
  const std::uint8_t* const nonce = sealed.data() + 1;
  const std::uint8_t* const body = nonce + kNonceBytes;
  const std::size_t size = sealed.size() - 1 - kNonceBytes - kTagBytes;
  const Cipher context(EVP_CIPHER_CTX_new());
  if (!context || EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key_.data(), nonce) != 1) {
    return broken("unseal");
  }
  TRY(authenticate(context.get(), false, purpose));
  std::string plain(size, '\0');
  auto* const out = reinterpret_cast<unsigned char*>(plain.data());
  Bytes tag(body + size, body + size + kTagBytes);
  int length = 0;
  if (EVP_DecryptUpdate(context.get(), out, &length, body, static_cast<int>(size)) != 1 ||
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, kTagBytes, tag.data()) != 1) {
    return broken("unseal");
  }
  if (EVP_DecryptFinal_ex(context.get(), out + length, &length) != 1) {
    return refused("another key sealed it, for another purpose, or it was changed");
  }
  return plain;
}

}  // namespace mesh::store
