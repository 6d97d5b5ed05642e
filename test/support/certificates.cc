#include "test/support/certificates.h"

#include "proxy/net/certificate.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <stdexcept>

namespace clew {

namespace {

void require(bool good, const char* what) {
  if (!good) throw std::runtime_error(std::string("test certificate: ") + what);
}

PrivateKeyPtr generate_key(bool rsa) {
  EVP_PKEY_CTX* ctx = EVP_PKEY_CTX_new_id(rsa ? EVP_PKEY_RSA : EVP_PKEY_EC, nullptr);
  EVP_PKEY* key = nullptr;
  require(EVP_PKEY_keygen_init(ctx) == 1, "keygen");
  if (rsa)
    require(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 2048) == 1, "bits");
  else
    require(EVP_PKEY_CTX_set_ec_paramgen_curve_nid(ctx, NID_X9_62_prime256v1) == 1, "curve");
  require(EVP_PKEY_keygen(ctx, &key) == 1, "keygen");
  EVP_PKEY_CTX_free(ctx);
  return PrivateKeyPtr(key);
}

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<std::size_t>(size));
}

template <class Write>
std::string pem_of(Write write) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  require(write(bio.get()) == 1, "pem");
  return text_of(bio.get());
}

void add_extension(X509* certificate, int nid, const std::string& value) {
  X509V3_CTX ctx;
  X509V3_set_ctx_nodb(&ctx);
  X509V3_set_ctx(&ctx, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &ctx, nid, const_cast<char*>(value.c_str()));
  require(extension != nullptr, value.c_str());
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

void set_name(X509_NAME* name, const std::string& common_name) {
  X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>("clew, tests"), -1, -1,
                             0);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(common_name.c_str()), -1,
                             -1, 0);
}

X509Ptr make_certificate(const std::string& common_name, long serial, std::chrono::seconds from,
                         std::chrono::seconds until, EVP_PKEY* key) {
  X509Ptr certificate(X509_new());
  X509_set_version(certificate.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), static_cast<long>(from.count()));
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), static_cast<long>(until.count()));
  X509_set_pubkey(certificate.get(), key);
  set_name(X509_get_subject_name(certificate.get()), common_name);
  return certificate;
}

}  // namespace

struct TestCa::Keys {
  PrivateKeyPtr key;
  X509Ptr certificate;
};

TestCa::TestCa(std::string common_name) : keys_(std::make_unique<Keys>()), common_name_(std::move(common_name)) {
  keys_->key = generate_key(false);
  keys_->certificate =
      make_certificate(common_name_, serial_++, -std::chrono::hours(24), std::chrono::hours(24), keys_->key.get());
  X509* certificate = keys_->certificate.get();
  set_name(X509_get_issuer_name(certificate), common_name_);
  add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE");
  add_extension(certificate, NID_key_usage, "critical,keyCertSign,cRLSign");
  require(X509_sign(certificate, keys_->key.get(), EVP_sha256()) > 0, "sign");
}

TestCa::~TestCa() = default;

std::string TestCa::pem() const {
  return pem_of([this](BIO* bio) { return PEM_write_bio_X509(bio, keys_->certificate.get()); });
}

TestCertificate TestCa::issue(const TestCertificateOptions& options) const {
  const PrivateKeyPtr key = generate_key(options.rsa);
  const X509Ptr certificate =
      make_certificate(options.common_name, serial_++, options.valid_from, options.valid_until, key.get());
  set_name(X509_get_issuer_name(certificate.get()), common_name_);
  std::string names;
  const auto add = [&names](const char* kind, const std::vector<std::string>& list) {
    for (const std::string& one : list) names += (names.empty() ? "" : ",") + std::string(kind) + one;
  };
  add("URI:", options.uri_sans);
  add("DNS:", options.dns_sans);
  add("IP:", options.ip_sans);
  if (!names.empty()) add_extension(certificate.get(), NID_subject_alt_name, names);
  add_extension(certificate.get(), NID_ext_key_usage, "serverAuth,clientAuth");
  require(X509_sign(certificate.get(), keys_->key.get(), EVP_sha256()) > 0, "sign");
  return {pem_of([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate.get()); }), pem_of([&](BIO* bio) {
            return PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
          })};
}

std::string TestCa::revoke(const std::vector<TestCertificate>& certificates) const {
  const X509CrlPtr list(X509_CRL_new());
  X509_CRL_set_version(list.get(), 1);
  X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(keys_->certificate.get()));
  ASN1_TIME* time = ASN1_TIME_new();
  X509_gmtime_adj(time, -60);
  X509_CRL_set1_lastUpdate(list.get(), time);
  for (const TestCertificate& one : certificates) {
    const std::vector<X509Ptr> parsed = parse_certificates(one.chain);
    X509_REVOKED* revoked = X509_REVOKED_new();
    X509_REVOKED_set_serialNumber(revoked, X509_get_serialNumber(parsed.at(0).get()));
    X509_REVOKED_set_revocationDate(revoked, time);
    X509_CRL_add0_revoked(list.get(), revoked);
  }
  X509_gmtime_adj(time, 3600);
  X509_CRL_set1_nextUpdate(list.get(), time);
  ASN1_TIME_free(time);
  X509_CRL_sort(list.get());
  require(X509_CRL_sign(list.get(), keys_->key.get(), EVP_sha256()) > 0, "sign list");
  return pem_of([&](BIO* bio) { return PEM_write_bio_X509_CRL(bio, list.get()); });
}

}  // namespace clew
