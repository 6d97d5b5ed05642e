#include "config/xds/decode_tls.h"

#include "config/xds/decode_common.h"
#include "config/xds/field_table.h"
#include "config/xds/json.h"

#include "envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol.pb.h"
#include "envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"

#include <fmt/format.h>

#include <algorithm>

namespace clew {

namespace core = envoy::config::core::v3;
namespace tls = envoy::extensions::transport_sockets::tls::v3;
using envoy::extensions::transport_sockets::proxy_protocol::v3::ProxyProtocolUpstreamTransport;
using envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer;

namespace {

constexpr std::size_t max_alpn = 255;  // RFC 7301: one byte of length

TlsParams::Version decode_version(tls::TlsParameters::TlsProtocol version) {
  switch (version) {
    case tls::TlsParameters::TLSv1_2: return TlsParams::Version::v1_2;
    case tls::TlsParameters::TLSv1_3: return TlsParams::Version::v1_3;
    default:  // others are refused by the field table
      return TlsParams::Version::automatic;
  }
}

void decode_parameters(const tls::TlsParameters& message, Scope& scope, TlsParams& out) {
  const Scope::Field in(scope, "tls_params");
  out.min_version = decode_version(message.tls_minimum_protocol_version());
  out.max_version = decode_version(message.tls_maximum_protocol_version());
  using enum TlsParams::Version;
  if (out.min_version == v1_3 && out.max_version == v1_2) scope.fail("the least version is above the greatest");
  // BoringSSL's lists may hold groups of equal preference («[A|B]») and rules («!A»): names alone are taken.
  const auto words = [&](const Strings& list, std::string_view field, std::vector<std::string>& into) {
    for (const auto& word : list) {
      if (word.empty() || word.find_first_of("[|]!+: ") != std::string::npos)
        scope.fail(field, fmt::format("«{}» is no single name", printable(word)));
      into.push_back(word);
    }
  };
  words(message.cipher_suites(), "cipher_suites", out.cipher_suites);
  words(message.ecdh_curves(), "ecdh_curves", out.ecdh_curves);
}

/// Notes who delivers a secret. Returns its name.
std::string decode_secret_reference(const tls::SdsSecretConfig& message, DecodeContext& context, Scope& scope) {
  if (message.name().empty()) scope.fail("name", "is empty");
  SecretReference reference{message.name(), {}, {}};
  if (message.has_sds_config()) {
    const Scope::Field in(scope, "sds_config");
    const auto& source = message.sds_config();
    if (source.has_api_config_source()) {
      const Scope::Field api(scope, "api_config_source");
      const auto& services = source.api_config_source().grpc_services();
      if (source.api_config_source().api_type() != core::ApiConfigSource::GRPC)
        scope.fail("api_type", "must be GRPC for secrets");
      if (services.size() != 1 || services[0].envoy_grpc().cluster_name().empty())
        scope.fail("grpc_services", "must be one envoy_grpc service with a cluster_name");
      else
        reference.sds_cluster = services[0].envoy_grpc().cluster_name();
    } else if (!source.has_ads()) {
      scope.fail("is neither ads nor api_config_source");
    }
    reference.fetch_timeout = decode_fetch_timeout(source, scope);
  }
  // Without a source it is one of the bootstrap's secrets, which are there from the start.
  context.needs.secrets.insert(std::move(reference));
  return message.name();
}

std::pair<std::string, std::string> decode_certificate(const tls::TlsCertificate& message, Scope& scope) {
  std::pair<std::string, std::string> out;
  {
    const Scope::Field in(scope, "certificate_chain");
    out.first = decode_data_source(message.certificate_chain(), scope);
    if (out.first.empty()) scope.fail("is empty");
  }
  const Scope::Field in(scope, "private_key");
  out.second = decode_data_source(message.private_key(), scope);
  if (out.second.empty()) scope.fail("is empty");
  return out;
}

SanMatcher::Type decode_san_type(tls::SubjectAltNameMatcher::SanType type) {
  switch (type) {
    case tls::SubjectAltNameMatcher::EMAIL: return SanMatcher::Type::email;
    case tls::SubjectAltNameMatcher::DNS: return SanMatcher::Type::dns;
    case tls::SubjectAltNameMatcher::URI: return SanMatcher::Type::uri;
    case tls::SubjectAltNameMatcher::IP_ADDRESS: return SanMatcher::Type::ip;
    default: return SanMatcher::Type::any;
  }
}

void decode_names(const tls::CertificateValidationContext& message, Scope& scope, TlsValidation& out) {
  for (int i = 0; i < message.match_typed_subject_alt_names_size(); ++i) {
    const Scope::Field in(scope, "match_typed_subject_alt_names", static_cast<std::size_t>(i));
    const auto& name = message.match_typed_subject_alt_names(i);
    if (name.san_type() == tls::SubjectAltNameMatcher::SAN_TYPE_UNSPECIFIED) scope.fail("san_type", "is not set");
    const Scope::Field matcher(scope, "matcher");
    out.subject_alt_names.push_back({decode_san_type(name.san_type()), decode_string_matcher(name.matcher(), scope)});
  }
  for (int i = 0; i < message.match_subject_alt_names_size(); ++i) {
    const Scope::Field in(scope, "match_subject_alt_names", static_cast<std::size_t>(i));
    out.subject_alt_names.push_back(
        {SanMatcher::Type::any, decode_string_matcher(message.match_subject_alt_names(i), scope)});
  }
  for (std::string hash : message.verify_certificate_hash()) {
    std::erase(hash, ':');
    hash = to_lower(hash);
    if (hash.size() != 64 || hash.find_first_not_of("0123456789abcdef") != std::string::npos)
      scope.fail("verify_certificate_hash", "must be SHA-256 in hexadecimal digits");
    out.certificate_hashes.push_back(std::move(hash));
  }
  for (const auto& hash : message.verify_certificate_spki()) {
    if (hash.size() != 44 || hash.back() != '=') scope.fail("verify_certificate_spki", "must be SHA-256 in base64");
    out.spki_hashes.push_back(hash);
  }
}

void decode_validation(const tls::CertificateValidationContext& message, Scope& scope, TlsValidation& out) {
  if (message.has_trusted_ca()) {
    const Scope::Field in(scope, "trusted_ca");
    out.inline_ca = decode_data_source(message.trusted_ca(), scope);
  }
  if (message.has_crl()) {
    const Scope::Field in(scope, "crl");
    out.crl = decode_data_source(message.crl(), scope);
  }
  out.accept_untrusted = message.trust_chain_verification() == tls::CertificateValidationContext::ACCEPT_UNTRUSTED;
  decode_names(message, scope, out);
}

/// What is checked of the peer, or nothing when nothing is.
std::optional<TlsValidation> decode_validation(const tls::CommonTlsContext& message, DecodeContext& context,
                                               Scope& scope) {
  TlsValidation out;
  switch (message.validation_context_type_case()) {
    case tls::CommonTlsContext::kValidationContext: {
      const Scope::Field in(scope, "validation_context");
      decode_validation(message.validation_context(), scope, out);
      break;
    }
    case tls::CommonTlsContext::kValidationContextSdsSecretConfig: {
      const Scope::Field in(scope, "validation_context_sds_secret_config");
      out.ca_secret = decode_secret_reference(message.validation_context_sds_secret_config(), context, scope);
      break;
    }
    case tls::CommonTlsContext::kCombinedValidationContext: {
      const Scope::Field in(scope, "combined_validation_context");
      const auto& combined = message.combined_validation_context();
      {
        const Scope::Field of(scope, "default_validation_context");
        decode_validation(combined.default_validation_context(), scope, out);
      }
      const Scope::Field of(scope, "validation_context_sds_secret_config");
      out.ca_secret = decode_secret_reference(combined.validation_context_sds_secret_config(), context, scope);
      break;
    }
    default: return std::nullopt;
  }
  const bool trusts = !out.ca_secret.empty() || !out.inline_ca.empty();
  if (trusts || !out.certificate_hashes.empty() || !out.spki_hashes.empty()) return out;
  if (!out.subject_alt_names.empty() || !out.crl.empty())
    scope.fail("names or a CRL are to be checked, but there is no CA to trust");
  return std::nullopt;
}

void decode_common(const tls::CommonTlsContext& message, DecodeContext& context, Scope& scope, TlsParams& out) {
  const Scope::Field in(scope, "common_tls_context");
  decode_parameters(message.tls_params(), scope, out);
  for (const auto& name : message.alpn_protocols()) {
    if (name.empty() || name.size() > max_alpn)
      scope.fail("alpn_protocols", fmt::format("«{}» is no protocol", printable(name)));
    out.alpn.push_back(name);
  }
  for (int i = 0; i < message.tls_certificates_size(); ++i) {
    const Scope::Field at(scope, "tls_certificates", static_cast<std::size_t>(i));
    out.inline_certificates.push_back(decode_certificate(message.tls_certificates(i), scope));
  }
  for (int i = 0; i < message.tls_certificate_sds_secret_configs_size(); ++i) {
    const Scope::Field at(scope, "tls_certificate_sds_secret_configs", static_cast<std::size_t>(i));
    out.certificate_secrets.push_back(
        decode_secret_reference(message.tls_certificate_sds_secret_configs(i), context, scope));
  }
  out.validation = decode_validation(message, context, scope);
}

/// Unpacks a transport socket that is T; null for raw_buffer, and for a problem.
template <class T>
std::unique_ptr<T> socket_config(const core::TransportSocket& message, Scope& scope) {
  if (!message.has_typed_config()) {
    scope.fail("typed_config", "is missing");
    return nullptr;
  }
  auto any = unpack(message.typed_config());
  if (!any) {
    scope.fail("typed_config", any.error().message);
    return nullptr;
  }
  if (dynamic_cast<RawBuffer*>(any->get())) return nullptr;
  if (auto* config = dynamic_cast<T*>(any->get())) {
    any->release();
    return std::unique_ptr<T>(config);
  }
  scope.fail("typed_config", fmt::format("type {} is not supported here", (*any)->GetTypeName()));
  return nullptr;
}

ProxyProtocol decode_proxy_protocol(const core::ProxyProtocolConfig& message, Scope& scope) {
  const Scope::Field in(scope, "config");
  ProxyProtocol out;
  if (message.version() == core::ProxyProtocolConfig::V2) out.version = ProxyProtocol::Version::v2;
  if (out.version == ProxyProtocol::Version::v1 && message.added_tlvs_size() > 0)
    scope.fail("added_tlvs", "version 1 has no extensions");
  for (const auto& tlv : message.added_tlvs()) {  // one byte of type, two of length
    if (tlv.type() > 255 || tlv.value().empty() || tlv.value().size() > ProxyProtocol::max_extensions) {
      scope.fail("added_tlvs", fmt::format("type {} with {} bytes is no extension", tlv.type(), tlv.value().size()));
      break;
    }
    out.extensions += static_cast<char>(tlv.type());
    out.extensions += static_cast<char>(tlv.value().size() >> 8);
    out.extensions += static_cast<char>(tlv.value().size() & 0xff);
    out.extensions += tlv.value();
  }
  if (out.extensions.size() > ProxyProtocol::max_extensions)
    scope.fail("added_tlvs", fmt::format("are longer than {} bytes", ProxyProtocol::max_extensions));
  return out;
}

std::shared_ptr<const TlsParams> intern(TlsInterner::Side side, const std::string& key, TlsParams params,
                                        DecodeContext& context, Scope& scope) {
  if (!scope.ok()) return nullptr;
  auto interned = context.tls.intern(side, key, std::move(params));
  if (interned) return std::move(*interned);
  scope.fail("common_tls_context", interned.error().message);
  return nullptr;
}

}  // namespace

std::shared_ptr<const TlsParams> decode_server_socket(const core::TransportSocket& message, DecodeContext& context,
                                                      Scope& scope) {
  const auto config = socket_config<tls::DownstreamTlsContext>(message, scope);
  if (!config) return nullptr;
  const Scope::Field in(scope, "typed_config");
  TlsParams params;
  decode_common(config->common_tls_context(), context, scope, params);
  params.require_client_certificate = config->require_client_certificate().value();
  if (params.certificate_secrets.empty() == params.inline_certificates.empty())
    scope.fail("common_tls_context",
               params.certificate_secrets.empty() ? "has no certificate" : "has certificates in place and by SDS");
  if (params.require_client_certificate && !params.validation)
    scope.fail("require_client_certificate", "is set, but nothing says whom to trust");
  return intern(TlsInterner::Side::server, config->SerializeAsString(), std::move(params), context, scope);
}

std::shared_ptr<const TlsParams> decode_client_socket(const core::TransportSocket& message, AutoSni automatic,
                                                      DecodeContext& context, Scope& scope) {
  const auto config = socket_config<tls::UpstreamTlsContext>(message, scope);
  if (!config) return nullptr;
  const Scope::Field in(scope, "typed_config");
  TlsParams params;
  decode_common(config->common_tls_context(), context, scope, params);
  if (params.certificate_secrets.size() + params.inline_certificates.size() > 1)
    scope.fail("common_tls_context", "a client has one certificate at most");
  params.sni = config->sni();
  if (params.sni.size() > 255) scope.fail("sni", "is longer than 255 bytes");
  params.auto_sni = automatic.sni;
  params.auto_san_validation = automatic.san_validation;
  if (params.auto_san_validation && !params.validation)
    scope.fail("common_tls_context", "auto_san_validation is set, but nothing says whom to trust");
  if (config->has_max_session_keys())
    params.max_session_keys = std::min<std::uint32_t>(config->max_session_keys().value(), 1024);
  std::string key = config->SerializeAsString();
  key += automatic.sni ? '\1' : '\0';
  key += automatic.san_validation ? '\1' : '\0';
  return intern(TlsInterner::Side::client, key, std::move(params), context, scope);
}

TransportSocketMatch decode_upstream_socket(const core::TransportSocket& message, AutoSni automatic,
                                            DecodeContext& context, Scope& scope) {
  TransportSocketMatch out;
  ProxyProtocolUpstreamTransport proxy;
  if (!message.typed_config().UnpackTo(&proxy)) {
    out.tls = decode_client_socket(message, automatic, context, scope);
    return out;
  }
  const Scope::Field in(scope, "typed_config");
  out.proxy_protocol = decode_proxy_protocol(proxy.config(), scope);
  const Scope::Field socket(scope, "transport_socket");
  out.tls = decode_client_socket(proxy.transport_socket(), automatic, context, scope);
  return out;
}

void require_ads(const core::ConfigSource& source, Scope& scope) {
  if (!source.has_ads()) scope.fail("must be ads");
}

Duration decode_fetch_timeout(const core::ConfigSource& source, Scope& scope) {
  if (!source.has_initial_fetch_timeout()) return std::chrono::seconds(15);  // Envoy's default
  const Scope::Field in(scope, "initial_fetch_timeout");
  return decode_duration(source.initial_fetch_timeout(), scope);
}

Decoded<std::shared_ptr<const Secret>> decode_secret(const tls::Secret& message) {
  Scope scope("secret " + printable(message.name()));
  check_fields(message, scope);
  auto out = std::make_shared<Secret>();
  out->name = message.name();
  if (message.name().empty()) scope.fail("name", "is empty");
  if (message.has_tls_certificate()) {
    const Scope::Field in(scope, "tls_certificate");
    std::tie(out->certificate_chain, out->private_key) = decode_certificate(message.tls_certificate(), scope);
  } else if (message.has_validation_context()) {
    const Scope::Field in(scope, "validation_context");
    TlsValidation validation;
    decode_validation(message.validation_context(), scope, validation);
    if (!validation.subject_alt_names.empty() || !validation.certificate_hashes.empty() ||
        !validation.spki_hashes.empty() || validation.accept_untrusted)
      scope.fail("only trusted_ca and crl can come in a secret");
    if (validation.inline_ca.empty()) scope.fail("trusted_ca", "is empty");
    out->trusted_ca = std::move(validation.inline_ca);
    out->crl = std::move(validation.crl);
  } else {
    scope.fail("is neither a certificate nor a validation context");
  }
  if (!scope.ok()) return DecodeError{scope.problem()};
  return std::shared_ptr<const Secret>(std::move(out));
}

}  // namespace clew
