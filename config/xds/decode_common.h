// What every decoder needs: addresses, durations, matchers, percentages, header mutations. Filters use it too.
// All of them note problems in the scope and return a harmless default then.
#pragma once

#include "config/snapshot/cluster.h"
#include "config/snapshot/matcher.h"
#include "config/snapshot/route.h"
#include "config/xds/decode.h"
#include "config/xds/scope.h"
#include "proxy/base/address.h"
#include "proxy/base/clock.h"

#include "envoy/config/core/v3/address.pb.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/config/route/v3/route_components.pb.h"
#include "envoy/type/matcher/v3/string.pb.h"
#include "envoy/type/v3/percent.pb.h"

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/repeated_ptr_field.h>

#include <optional>
#include <string>
#include <vector>

namespace clew {

/// Regular expressions larger than this are refused; from the bootstrap's runtime. Set once, before the first decoding.
void set_regex_max_program_size(int size);
/// From the same place: whether HTTP connection managers refuse a path with a fragment instead of cutting it.
void set_reject_path_with_fragment(bool reject);
bool reject_path_with_fragment();

/// Not negative, and no longer than Envoy takes; longer than a century counts as a century.
Duration decode_duration(const google::protobuf::Duration& message, Scope& scope);
/// Of a field that may be unset.
std::optional<Duration> optional_duration(bool set, const google::protobuf::Duration& message, std::string_view field,
                                          Scope& scope);

/// IP and port, or pipe. A host name is a problem here.
Address decode_address(const envoy::config::core::v3::Address& message, Scope& scope);
Address decode_socket_address(const envoy::config::core::v3::SocketAddress& message, Scope& scope);
IpAddress decode_ip(std::string_view text, Scope& scope);
Cidr decode_cidr(const envoy::config::core::v3::CidrRange& message, Scope& scope);

Regex decode_regex(const envoy::type::matcher::v3::RegexMatcher& message, Scope& scope);
StringMatcher decode_string_matcher(const envoy::type::matcher::v3::StringMatcher& message, Scope& scope);
HeaderMatcher decode_header_matcher(const envoy::config::route::v3::HeaderMatcher& message, Scope& scope);
QueryParameterMatcher decode_query_parameter_matcher(const envoy::config::route::v3::QueryParameterMatcher& message,
                                                     Scope& scope);

/// 0 … 100.
double decode_percent(const envoy::type::v3::FractionalPercent& message, Scope& scope);
double decode_percent(const envoy::type::v3::Percent& message, Scope& scope);

using HeaderValueOptions = google::protobuf::RepeatedPtrField<envoy::config::core::v3::HeaderValueOption>;
using Strings = google::protobuf::RepeatedPtrField<std::string>;
std::vector<HeaderToAdd> decode_headers_to_add(const HeaderValueOptions& messages, std::string_view field,
                                               Scope& scope);
std::vector<std::string> decode_headers_to_remove(const Strings& names, std::string_view field, Scope& scope);
/// A header's name in lower case; a problem when it is no token (RFC 9110) and no pseudo-header.
std::string decode_header_name(std::string_view name, Scope& scope);

/// A whole file of at most limit bytes, or what is wrong with it.
Decoded<std::string> read_small_file(const std::string& path, std::size_t limit = 1024 * 1024);
/// inline_string, inline_bytes, or a file's content (read now).
std::string decode_data_source(const envoy::config::core::v3::DataSource& message, Scope& scope);

/// Serialized so that equal messages give equal bytes, whatever the order of their maps.
std::string stable_bytes(const google::protobuf::Message& message);

/// metadata.filter_metadata[namespace][key] when it is a string; empty otherwise.
std::string metadata_string(const envoy::config::core::v3::Metadata& metadata, const char* space, const char* key);
/// The Istio object that metadata names, for people; empty when there is none.
std::string metadata_object(const envoy::config::core::v3::Metadata& metadata);

}  // namespace clew
