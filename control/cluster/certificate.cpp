#include "control/cluster/certificate.h"

#include <algorithm>

#include <openssl/rand.h>

#include "base/bytes.h"
#include "control/cluster/openssl.h"

namespace mesh::cluster {
namespace {

Result<KeyPtr> make_key() {
  KeyPtr key(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
  if (!key) return fail_openssl(ErrorKind::kInternal, "making an EC P-256 key");
  return key;
}

Result<std::string> key_to_pem(EVP_PKEY* key) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (!bio || PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return fail_openssl(ErrorKind::kInternal, "writing a private key");
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<std::size_t>(size));
}

Status add_name(X509_NAME* name, const char* field, std::string_view value) {
  if (X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(value.data()),
                                 static_cast<int>(value.size()), -1, 0) != 1) {
    return fail_openssl(ErrorKind::kInvalid, std::string("certificate subject ") + field);
  }
  return {};
}

// The only value of a field of the name; a second one, or a NUL inside, is refused: it would be read differently by
// others.
Result<std::string> name_field(const X509_NAME* name, int nid, std::string_view label) {
  const int at = X509_NAME_get_index_by_NID(name, nid, -1);
  if (at < 0) return fail(ErrorKind::kInvalid, std::string("the certificate has no ").append(label));
  if (X509_NAME_get_index_by_NID(name, nid, at) >= 0) {
    return fail(ErrorKind::kInvalid, std::string("the certificate has more than one ").append(label));
  }
  const ASN1_STRING* data = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
  std::string text(reinterpret_cast<const char*>(ASN1_STRING_get0_data(data)),
                   static_cast<std::size_t>(ASN1_STRING_length(data)));
  if (text.empty() || text.size() > 64 || text.find('\0') != std::string::npos) {
    return fail(ErrorKind::kInvalid, std::string("the certificate's ").append(label).append(" is not usable"));
  }
  return text;
}

Status add_extension(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value));
  if (!extension || X509_add_ext(certificate, extension.get(), -1) != 1) {
    return fail_openssl(ErrorKind::kInternal, std::string("certificate extension ") + value);
  }
  return {};
}

time_t to_unix(Time time) {
  return std::chrono::system_clock::to_time_t(std::chrono::time_point_cast<std::chrono::system_clock::duration>(time));
}

Result<Time> from_asn1(const ASN1_TIME* time) {
  struct tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return fail_openssl(ErrorKind::kInvalid, "certificate validity");
  return Time(std::chrono::duration_cast<Duration>(std::chrono::seconds(timegm(&parts))));
}

// Version, random serial number, validity and public key.
Result<CertificatePtr> blank_certificate(EVP_PKEY* public_key, Time from, Time until) {
  CertificatePtr certificate(X509_new());
  std::array<unsigned char, 16> serial{};
  if (!certificate || RAND_bytes(serial.data(), static_cast<int>(serial.size())) != 1) {
    return fail_openssl(ErrorKind::kInternal, "making a certificate");
  }
  serial[0] &= 0x7f;  // positive, RFC 5280 §4.1.2.2
  const std::unique_ptr<BIGNUM, OpensslDeleter<BN_free>> number(
      BN_bin2bn(serial.data(), static_cast<int>(serial.size()), nullptr));
  const bool ok = number && BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate.get())) != nullptr &&
                  X509_set_version(certificate.get(), X509_VERSION_3) == 1 &&
                  ASN1_TIME_set(X509_getm_notBefore(certificate.get()), to_unix(from)) != nullptr &&
                  ASN1_TIME_set(X509_getm_notAfter(certificate.get()), to_unix(until)) != nullptr &&
                  X509_set_pubkey(certificate.get(), public_key) == 1;
  if (!ok) return fail_openssl(ErrorKind::kInternal, "making a certificate");
  return certificate;
}

Result<std::string> serial_of(X509* certificate) {
  const std::unique_ptr<BIGNUM, OpensslDeleter<BN_free>> number(
      ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr));
  if (!number) return fail_openssl(ErrorKind::kInvalid, "serial number of a certificate");
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(BN_num_bytes(number.get())));
  BN_bn2bin(number.get(), bytes.data());
  return hex_encode(bytes);
}

Result<Digest> digest_of(X509* certificate) {
  Digest digest{};
  unsigned size = 0;
  if (X509_digest(certificate, EVP_sha256(), digest.data(), &size) != 1 || size != digest.size()) {
    return fail_openssl(ErrorKind::kInternal, "digest of a certificate");
  }
  return digest;
}

Result<KeyPtr> key_of_request(std::string_view pem) {
  if (pem.size() > 16U << 10U) return fail(ErrorKind::kInvalid, "certificate request: longer than 16 KiB");
  const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  const RequestPtr request(PEM_read_bio_X509_REQ(bio.get(), nullptr, nullptr, nullptr));
  if (!request) return fail_openssl(ErrorKind::kInvalid, "the certificate request is not PEM");
  KeyPtr key(X509_REQ_get_pubkey(request.get()));
  if (!key) return fail_openssl(ErrorKind::kInvalid, "the certificate request has no usable key");
  std::array<char, 32> group{};
  std::size_t size = 0;
  if (EVP_PKEY_is_a(key.get(), "EC") != 1 ||
      EVP_PKEY_get_group_name(key.get(), group.data(), group.size(), &size) != 1 ||
      std::string_view(group.data(), size) != "prime256v1") {
    ERR_clear_error();
    return fail(ErrorKind::kInvalid, "the key of the certificate request is not EC P-256");
  }
  if (X509_REQ_verify(request.get(), key.get()) != 1) {
    return fail_openssl(ErrorKind::kInvalid, "the signature of the certificate request is wrong");
  }
  return key;
}

}  // namespace

std::string_view role_unit(Role role) { return role == Role::kManager ? "swarm-manager" : "swarm-worker"; }

Result<KeyRequest> make_key_request() {
  const KeyPtr key = TRY(make_key());
  const RequestPtr request(X509_REQ_new());
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (!request || !bio || X509_REQ_set_pubkey(request.get(), key.get()) != 1 ||
      X509_REQ_sign(request.get(), key.get(), EVP_sha256()) == 0 ||
      PEM_write_bio_X509_REQ(bio.get(), request.get()) != 1) {
    return fail_openssl(ErrorKind::kInternal, "making a certificate request");
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return KeyRequest{TRY(key_to_pem(key.get())), std::string(data, static_cast<std::size_t>(size))};
}

Result<CertificateInfo> read_certificate(std::string_view pem) {
  const CertificatePtr certificate = TRY(parse_certificate(pem, "node certificate"));
  const X509_NAME* name = X509_get_subject_name(certificate.get());
  CertificateInfo info;
  info.subject.node_id = TRY(name_field(name, NID_commonName, "common name"));
  info.subject.cluster_id = TRY(name_field(name, NID_organizationName, "organisation"));
  const std::string unit = TRY(name_field(name, NID_organizationalUnitName, "organisational unit"));
  if (unit == role_unit(Role::kManager)) {
    info.subject.role = Role::kManager;
  } else if (unit != role_unit(Role::kWorker)) {
    return fail(ErrorKind::kInvalid, "the certificate's organisational unit is neither swarm-worker nor swarm-manager");
  }
  info.serial = TRY(serial_of(certificate.get()));
  info.not_before = TRY(from_asn1(X509_get0_notBefore(certificate.get())));
  info.not_after = TRY(from_asn1(X509_get0_notAfter(certificate.get())));
  return info;
}

Result<IssuerInfo> read_issuer(std::string_view root_pem) {
  const CertificatePtr root = TRY(parse_certificate(root_pem, "root certificate"));
  const auto der = [](int size, unsigned char* data) {
    std::vector<std::uint8_t> bytes(data, data + std::max(size, 0));
    OPENSSL_free(data);
    return bytes;
  };
  IssuerInfo info;
  unsigned char* data = nullptr;
  const int subject_size = i2d_X509_NAME(X509_get_subject_name(root.get()), &data);
  info.subject = der(subject_size, data);
  data = nullptr;
  const int key_size = i2d_PUBKEY(X509_get0_pubkey(root.get()), &data);
  info.public_key = der(key_size, data);
  if (info.subject.empty() || info.public_key.empty()) {
    return fail_openssl(ErrorKind::kInvalid, "reading the root certificate");
  }
  return info;
}

Result<Digest> certificate_digest(std::string_view pem) {
  const CertificatePtr certificate = TRY(parse_certificate(pem, "root certificate"));
  return digest_of(certificate.get());
}

Time renewal_time(const CertificateInfo& info, double fraction) {
  const auto life = static_cast<double>((info.not_after - info.not_before).count());
  return info.not_before + Duration(static_cast<std::int64_t>(life * (0.5 + 0.3 * fraction)));
}

Result<CertificateAuthority> CertificateAuthority::create(const std::string& cluster_id, Time now) {
  const KeyPtr key = TRY(make_key());
  const CertificatePtr root = TRY(blank_certificate(key.get(), now - kBackdate, now + kRootLifetime));
  X509_NAME* name = X509_get_subject_name(root.get());
  TRY(add_name(name, "O", cluster_id));
  TRY(add_name(name, "CN", "swarm-ca"));
  if (X509_set_issuer_name(root.get(), name) != 1) return fail_openssl(ErrorKind::kInternal, "making the root");
  TRY(add_extension(root.get(), root.get(), NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
  TRY(add_extension(root.get(), root.get(), NID_key_usage, "critical,keyCertSign,cRLSign"));
  TRY(add_extension(root.get(), root.get(), NID_subject_key_identifier, "hash"));
  if (X509_sign(root.get(), key.get(), EVP_sha256()) == 0) {
    return fail_openssl(ErrorKind::kInternal, "signing the root certificate");
  }
  CertificateAuthority authority;
  authority.certificate_pem_ = TRY(to_pem(root.get()));
  authority.key_pem_ = TRY(key_to_pem(key.get()));
  authority.digest_ = TRY(digest_of(root.get()));
  return authority;
}

Result<CertificateAuthority> CertificateAuthority::load(std::string certificate_pem, std::string key_pem) {
  const CertificatePtr root = TRY(parse_certificate(certificate_pem, "root certificate"));
  const KeyPtr key = TRY(parse_key(key_pem, "key of the root certificate"));
  if (X509_check_private_key(root.get(), key.get()) != 1) {
    return fail_openssl(ErrorKind::kInvalid, "the root certificate and its key do not belong together");
  }
  CertificateAuthority authority;
  authority.digest_ = TRY(digest_of(root.get()));
  authority.certificate_pem_ = std::move(certificate_pem);
  authority.key_pem_ = std::move(key_pem);
  return authority;
}

Result<std::string> CertificateAuthority::issue(std::string_view request_pem, const Subject& subject, Time now,
                                                Duration lifetime) const {
  const CertificatePtr root = TRY(parse_certificate(certificate_pem_, "root certificate"));
  const KeyPtr root_key = TRY(parse_key(key_pem_, "key of the root certificate"));
  const KeyPtr node_key = TRY(key_of_request(request_pem));
  const CertificatePtr certificate = TRY(blank_certificate(node_key.get(), now - kBackdate, now + lifetime));
  X509_NAME* name = X509_get_subject_name(certificate.get());
  TRY(add_name(name, "O", subject.cluster_id));
  TRY(add_name(name, "OU", role_unit(subject.role)));
  TRY(add_name(name, "CN", subject.node_id));
  if (X509_set_issuer_name(certificate.get(), X509_get_subject_name(root.get())) != 1) {
    return fail_openssl(ErrorKind::kInternal, "issuing a certificate");
  }
  const std::string names = std::string("DNS:").append(role_unit(subject.role)) + ",DNS:" + subject.node_id;
  TRY(add_extension(certificate.get(), root.get(), NID_basic_constraints, "critical,CA:FALSE"));
  TRY(add_extension(certificate.get(), root.get(), NID_key_usage, "critical,digitalSignature"));
  TRY(add_extension(certificate.get(), root.get(), NID_ext_key_usage, "serverAuth,clientAuth"));
  TRY(add_extension(certificate.get(), root.get(), NID_subject_alt_name, names.c_str()));
  TRY(add_extension(certificate.get(), root.get(), NID_authority_key_identifier, "keyid:always"));
  if (X509_sign(certificate.get(), root_key.get(), EVP_sha256()) == 0) {
    return fail_openssl(ErrorKind::kInternal, "signing a node certificate");
  }
  return to_pem(certificate.get());
}

}  // namespace mesh::cluster
