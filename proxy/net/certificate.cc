#include "proxy/net/certificate.h"

#include "proxy/base/address.h"
#include "proxy/base/encoding.h"
#include "proxy/base/strings.h"

#include <fmt/format.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>

#include <algorithm>
#include <ctime>
#include <unordered_map>
#include <utility>

namespace clew {

namespace {

using BigNumPtr = std::unique_ptr<BIGNUM, FreeWith<BN_free>>;

struct GeneralNamesFree {
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
};

BioPtr reader(std::string_view bytes) {
  return BioPtr(BIO_new_mem_buf(bytes.data(), static_cast<int>(std::min(bytes.size(), std::size_t{INT_MAX}))));
}

std::string contents(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return size > 0 ? std::string(data, static_cast<std::size_t>(size)) : std::string();
}

/// Reads blocks of one kind until there is none; a broken block gives nothing at all.
template <class Ptr, class Read>
std::vector<Ptr> parse_all(std::string_view pem, Read read) {
  std::vector<Ptr> out;
  const BioPtr bio = reader(pem);
  ERR_clear_error();
  while (auto* one = read(bio.get(), nullptr, nullptr, nullptr)) out.emplace_back(one);
  const auto error = ERR_peek_last_error();
  const bool at_end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (!at_end) out.clear();
  return out;
}

std::string name_text(const X509_NAME* name) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(bio.get(), const_cast<X509_NAME*>(name), 0, XN_FLAG_RFC2253);
  return contents(bio.get());
}

std::string serial_text(X509* certificate) {
  const BigNumPtr number(ASN1_INTEGER_to_BN(X509_get_serialNumber(certificate), nullptr));
  if (!number) return {};
  char* hex = BN_bn2hex(number.get());
  if (!hex) return {};
  std::string out = to_lower(hex);
  OPENSSL_free(hex);
  return out;
}

WallTime wall_time(const ASN1_TIME* time) {
  std::tm parts{};
  if (!ASN1_TIME_to_tm(time, &parts)) return {};
  return WallTime(std::chrono::seconds(timegm(&parts)));
}

std::string pem_text(X509* certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (!PEM_write_bio_X509(bio.get(), certificate)) return {};
  return contents(bio.get());
}

std::string ip_text(const ASN1_OCTET_STRING* bytes) {
  const unsigned char* data = ASN1_STRING_get0_data(bytes);
  if (ASN1_STRING_length(bytes) == 4)
    return IpAddress::v4(std::uint32_t{data[0]} << 24 | std::uint32_t{data[1]} << 16 | std::uint32_t{data[2]} << 8 |
                         data[3])
        .to_string();
  if (ASN1_STRING_length(bytes) != 16) return {};
  std::array<std::uint8_t, 16> v6;
  std::copy_n(data, 16, v6.begin());
  return IpAddress::v6(v6).to_string();
}

/// encode: an i2d function, bound to what it encodes.
template <class Encode, class Digest>
std::string digest_of_der(Encode&& encode, Digest&& digest) {
  unsigned char* der = nullptr;
  const int size = encode(&der);
  if (size < 0) return {};
  std::string out = digest({reinterpret_cast<const char*>(der), static_cast<std::size_t>(size)});
  OPENSSL_free(der);
  return out;
}

/// For logs alone.
std::string sha1(std::string_view bytes) {
  std::string digest(SHA_DIGEST_LENGTH, '\0');
  SHA1(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
       reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

std::string certificate_sha1(X509* certificate) {
  return digest_of_der([certificate](unsigned char** der) { return i2d_X509(certificate, der); }, sha1);
}

}  // namespace

std::vector<X509Ptr> parse_certificates(std::string_view pem) { return parse_all<X509Ptr>(pem, PEM_read_bio_X509); }
std::vector<X509CrlPtr> parse_crls(std::string_view pem) { return parse_all<X509CrlPtr>(pem, PEM_read_bio_X509_CRL); }

PrivateKeyPtr parse_private_key(std::string_view pem) {
  const BioPtr bio = reader(pem);
  // The default would ask for a password on the terminal.
  const auto no_password = [](char*, int, int, void*) { return -1; };
  PrivateKeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr));
  ERR_clear_error();
  return key;
}

std::vector<SubjectAltName> subject_alt_names(X509* certificate) {
  std::vector<SubjectAltName> out;
  const std::unique_ptr<GENERAL_NAMES, GeneralNamesFree> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  if (!names) return out;
  const auto count = sk_GENERAL_NAME_num(names.get());
  for (auto i = count - count; i < count; ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    SanMatcher::Type type;
    switch (name->type) {
      case GEN_DNS: type = SanMatcher::Type::dns; break;
      case GEN_URI: type = SanMatcher::Type::uri; break;
      case GEN_EMAIL: type = SanMatcher::Type::email; break;
      case GEN_IPADD: out.push_back({SanMatcher::Type::ip, ip_text(name->d.iPAddress)}); continue;
      default: continue;
    }
    const auto* text = reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.ia5));
    out.push_back({type, std::string(text, static_cast<std::size_t>(ASN1_STRING_length(name->d.ia5)))});
  }
  return out;
}

X509Ptr parse_der(std::string_view der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const auto* const end = at + der.size();
  X509Ptr certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  ERR_clear_error();
  return at == end ? std::move(certificate) : nullptr;
}

std::shared_ptr<const CertificateInfo> describe_certificate(X509* certificate, std::span<const X509Ptr> chain) {
  auto info = std::make_shared<CertificateInfo>();
  for (SubjectAltName& name : subject_alt_names(certificate)) {
    if (name.type == SanMatcher::Type::uri)
      info->uri_sans.push_back(std::move(name.value));
    else if (name.type == SanMatcher::Type::dns)
      info->dns_sans.push_back(std::move(name.value));
    else if (name.type == SanMatcher::Type::ip)
      info->ip_sans.push_back(std::move(name.value));
    else if (name.type == SanMatcher::Type::email)
      info->email_sans.push_back(std::move(name.value));
  }
  info->subject = name_text(X509_get_subject_name(certificate));
  info->issuer = name_text(X509_get_issuer_name(certificate));
  info->serial = serial_text(certificate);
  info->sha256 = to_hex(certificate_sha256(certificate));
  info->sha1 = to_hex(certificate_sha1(certificate));
  info->valid_from = wall_time(X509_get0_notBefore(certificate));
  info->valid_until = wall_time(X509_get0_notAfter(certificate));
  info->pem_urlencoded = percent_encode(pem_text(certificate));
  for (const X509Ptr& one : chain) {
    info->chain_urlencoded += percent_encode(pem_text(one.get()));
    info->chain_serials.push_back(serial_text(one.get()));
    info->chain_sha256.push_back(to_hex(certificate_sha256(one.get())));
    info->chain_sha1.push_back(to_hex(certificate_sha1(one.get())));
  }
  return info;
}

std::shared_ptr<const CertificateInfo> describe_peer(std::span<const std::string> chain) {
  std::string key;
  for (const std::string& der : chain) key += sha256(der);

  thread_local std::unordered_map<std::string, std::weak_ptr<const CertificateInfo>> known;
  thread_local std::size_t sweep_at = 64;
  const auto it = known.find(key);
  if (it != known.end()) {
    if (auto info = it->second.lock()) return info;
  }
  if (known.size() >= sweep_at) {
    std::erase_if(known, [](const auto& entry) { return entry.second.expired(); });
    sweep_at = std::max<std::size_t>(64, 2 * known.size());
  }
  std::vector<X509Ptr> parsed;
  for (const std::string& der : chain)
    if (X509Ptr one = parse_der(der))
      parsed.push_back(std::move(one));
    else
      return nullptr;
  if (parsed.empty()) return nullptr;
  auto info = describe_certificate(parsed.front().get(), parsed);
  known[std::move(key)] = info;
  return info;
}

std::string sha256(std::string_view bytes) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

std::string certificate_sha256(X509* certificate) {
  return digest_of_der([certificate](unsigned char** der) { return i2d_X509(certificate, der); }, sha256);
}

std::string spki_sha256(X509* certificate) {
  return digest_of_der(
      [certificate](unsigned char** der) { return i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), der); }, sha256);
}

bool dns_name_matches(std::string_view name, std::string_view pattern) {
  if (equals_ignore_case(name, pattern)) return true;
  const std::size_t name_dot = name.find('.'), pattern_dot = pattern.find('.');
  if (name_dot == std::string_view::npos || pattern_dot == std::string_view::npos) return false;
  const std::string_view label = name.substr(0, name_dot), glob = pattern.substr(0, pattern_dot);
  if (!equals_ignore_case(name.substr(name_dot), pattern.substr(pattern_dot))) return false;
  const std::size_t star = glob.find('*');
  if (star == std::string_view::npos || glob.find('*', star + 1) != std::string_view::npos) return false;
  // «x*.y» would match an internationalized label by its encoding.
  if (equals_ignore_case(glob.substr(0, 4), "xn--") || pattern.substr(pattern_dot).find('*') != std::string_view::npos)
    return false;
  const std::string_view before = glob.substr(0, star), after = glob.substr(star + 1);
  return label.size() >= before.size() + after.size() && equals_ignore_case(label.substr(0, before.size()), before) &&
         equals_ignore_case(label.substr(label.size() - after.size()), after);
}

bool san_matches(const SanMatcher& matcher, const SubjectAltName& name) {
  if (matcher.type != SanMatcher::Type::any && matcher.type != name.type) return false;
  if (name.type == SanMatcher::Type::dns && matcher.matcher.kind == StringMatcher::Kind::exact)
    return dns_name_matches(matcher.matcher.text, name.value);
  return matcher.matcher.matches(name.value);
}

bool names_host(const std::vector<SubjectAltName>& names, std::string_view host) {
  return std::any_of(names.begin(), names.end(), [host](const SubjectAltName& name) {
    return name.type == SanMatcher::Type::dns ? dns_name_matches(host, name.value) : name.value == host;
  });
}

}  // namespace clew
