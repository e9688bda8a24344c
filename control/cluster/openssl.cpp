#include "control/cluster/openssl.h"

namespace mesh::cluster {

std::unexpected<Error> fail_openssl(ErrorKind kind, std::string_view what) {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return fail(kind, std::string(what) + ": " + (reason == nullptr ? "OpenSSL gives no reason" : reason));
}

namespace {
BioPtr read_bio(std::string_view text) { return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }
constexpr std::size_t kPemBytesMax = 64U << 10U;
// An encrypted key would make OpenSSL ask the terminal for a password.
int no_password(char*, int, int, void*) { return -1; }
}  // namespace

Result<CertificatePtr> parse_certificate(std::string_view pem, std::string_view what) {
  if (pem.size() > kPemBytesMax) return fail(ErrorKind::kInvalid, std::string(what) + ": longer than 64 KiB");
  const BioPtr bio = read_bio(pem);
  CertificatePtr certificate(PEM_read_bio_X509(bio.get(), nullptr, no_password, nullptr));
  if (!certificate) return fail_openssl(ErrorKind::kInvalid, std::string(what) + " is not a PEM certificate");
  return certificate;
}

Result<KeyPtr> parse_key(std::string_view pem, std::string_view what) {
  if (pem.size() > kPemBytesMax) return fail(ErrorKind::kInvalid, std::string(what) + ": longer than 64 KiB");
  const BioPtr bio = read_bio(pem);
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr));
  if (!key) return fail_openssl(ErrorKind::kInvalid, std::string(what) + " is not a PEM private key");
  return key;
}

Result<std::string> to_pem(X509* certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (!bio || PEM_write_bio_X509(bio.get(), certificate) != 1) {
    return fail_openssl(ErrorKind::kInternal, "writing a certificate");
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<std::size_t>(size));
}

}  // namespace mesh::cluster
