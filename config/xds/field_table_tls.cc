#include "config/xds/field_table_sections.h"

namespace clew {

namespace {

using enum Support;

constexpr FieldRow upstream[] = {
    {"common_tls_context sni max_session_keys"},
    {"enforce_rsa_key_usage", honoured, {}, "true"},
    {"auto_host_sni auto_sni_san_validation", refused,
     "upstream_http_protocol_options has auto_sni and auto_san_validation"},
    {"allow_renegotiation", refused, "renegotiation is never allowed"},
};
constexpr FieldRow downstream[] = {
    {"common_tls_context require_client_certificate"},
    {"ocsp_staple_policy", honoured, "no staple is sent", "LENIENT_STAPLING"},
    {"full_scan_certs_on_sni_mismatch", harmless, "without a match by name the first certificate serves"},
    {"require_sni", refused},
    {"session_ticket_keys session_ticket_keys_sds_secret_config", refused,
     "ticket keys are made and kept by each process"},
    {"disable_stateless_session_resumption disable_stateful_session_resumption session_timeout", refused},
    {"prefer_client_ciphers", refused, "the server's order decides"},
};
constexpr FieldRow common[] = {
    {"tls_params tls_certificates tls_certificate_sds_secret_configs validation_context "
     "validation_context_sds_secret_config "
     "combined_validation_context alpn_protocols"},
    {"key_log", refused, "session keys are never written down"},
    {"custom_handshaker custom_tls_certificate_selector tls_certificate_provider_instance "
     "tls_certificate_certificate_provider "
     "tls_certificate_certificate_provider_instance validation_context_certificate_provider "
     "validation_context_certificate_provider_instance",
     refused, "certificates come by SDS or in place"},
};
constexpr FieldRow combined[] = {
    {"default_validation_context validation_context_sds_secret_config"},
    {"validation_context_certificate_provider validation_context_certificate_provider_instance", refused,
     "certificates come by SDS or in place"},
};
constexpr FieldRow validation[] = {
    {"trusted_ca verify_certificate_spki verify_certificate_hash match_typed_subject_alt_names match_subject_alt_names "
     "crl"},
    {"trust_chain_verification", honoured, {}, "VERIFY_TRUST_CHAIN ACCEPT_UNTRUSTED"},
    {"ca_certificate_provider_instance system_root_certs", refused, "roots come by SDS or in place"},
    {"watched_directory", refused, "files are read when the resource arrives; rotate by SDS"},
    {"require_signed_certificate_timestamp allow_expired_certificate custom_validator_config only_verify_leaf_cert_crl "
     "max_verify_depth",
     refused},
    {"suppress_client_ca_list", harmless, "clients are sent no list of CA names in any case"},
};
constexpr FieldRow parameters[] = {
    {"tls_minimum_protocol_version", honoured, "TLS 1.2 is the least", "TLS_AUTO TLSv1_2 TLSv1_3"},
    {"tls_maximum_protocol_version", honoured, "by default TLS 1.3, to upstreams too, where Envoy stops at TLS 1.2",
     "TLS_AUTO TLSv1_2 TLSv1_3"},
    {"cipher_suites ecdh_curves"},
    {"signature_algorithms", refused},
    {"compliance_policies", refused, "the engine is not in a validated mode"},
};
constexpr FieldRow certificate[] = {
    {"certificate_chain private_key"},
    {"ocsp_staple signed_certificate_timestamp", harmless, "neither is sent"},
    {"watched_directory", refused, "files are read when the resource arrives; rotate by SDS"},
    {"private_key_provider", refused, "private keys are used in software"},
    {"pkcs12 password", refused, "keys are PEM without a password"},
    {"tls_params", refused},
};
constexpr FieldRow sds[] = {
    {"name sds_config", honoured,
     "without sds_config one of the bootstrap's; what names one that is not there never goes live"}};
constexpr FieldRow secret[] = {
    {"name tls_certificate validation_context"},
    {"session_ticket_keys", refused, "ticket keys are made and kept by each process"},
    {"generic_secret", refused, "nothing asks for one"},
};
constexpr FieldRow san[] = {{"matcher"}, {"san_type", honoured, {}, "EMAIL DNS URI IP_ADDRESS"}, {"oid", refused}};
constexpr FieldRow proxy_protocol[] = {
    {"config transport_socket"},
    {"allow_unspecified_address tlv_as_pool_key", refused},
};
constexpr FieldRow proxy_config[] = {
    {"version", honoured, {}, "V1 V2"},
    {"added_tlvs"},
    {"pass_through_tlvs", refused, "extensions of a client's header are passed over"},
};
constexpr FieldRow tlv[] = {{"type value"}, {"format_string", refused, "extensions are as configured"}};
constexpr FieldRow none[] = {{"*", refused}};

constexpr MessageRows messages[] = {
    {"envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", upstream, "envoy.transport_sockets.upstream",
     "envoy.transport_sockets.tls"},
    {"envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", downstream, "envoy.transport_sockets.downstream",
     "envoy.transport_sockets.tls"},
    {"envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer", none, "envoy.transport_sockets.upstream",
     "envoy.transport_sockets.raw_buffer"},
    {"envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport", proxy_protocol,
     "envoy.transport_sockets.upstream", "envoy.transport_sockets.upstream_proxy_protocol"},
    {"envoy.config.core.v3.ProxyProtocolConfig", proxy_config},
    {"envoy.config.core.v3.TlvEntry", tlv},
    {"envoy.extensions.transport_sockets.tls.v3.CommonTlsContext", common},
    {"envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.CombinedCertificateValidationContext", combined},
    {"envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext", validation},
    {"envoy.extensions.transport_sockets.tls.v3.SubjectAltNameMatcher", san},
    {"envoy.extensions.transport_sockets.tls.v3.TlsParameters", parameters},
    {"envoy.extensions.transport_sockets.tls.v3.TlsCertificate", certificate},
    {"envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig", sds},
    {"envoy.extensions.transport_sockets.tls.v3.Secret", secret},
};

}  // namespace

TableSection tls_fields() { return {"TLS and secrets", messages}; }

}  // namespace clew
