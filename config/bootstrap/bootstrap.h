// The bootstrap that pilot-agent renders: JSON or YAML, snake_case or camelCase, --config-yaml merged over it.
// A plain value; its static clusters and listeners go the same way as those of xDS (static_resources.h).
// envoy.config.bootstrap.v3.Bootstrap. Errors are one sentence: what is wrong and where.
#pragma once

#include "config/snapshot/cluster.h"
#include "config/snapshot/matcher.h"
#include "config/xds/decode.h"
#include "proxy/base/address.h"
#include "proxy/base/clock.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace clew {

struct CommandLine;

/// Who we are to the control plane.
struct NodeInfo {
  std::string id;          // «sidecar~IP~POD.NAMESPACE~DOMAIN»
  std::string serialized;  // envoy.config.core.v3.Node as sent: metadata unchanged, with the user agent filled in
};

struct StatsConfig {
  /// Envoy's tag extraction (ECMAScript dialect): group 1 leaves the name, group 2 is the value. Or a fixed value.
  struct Tag {
    std::string name, regex, fixed_value;
  };
  std::vector<Tag> tags;
  /// Which stats exist: all, or by their (dotted) names.
  enum class Matching : std::uint8_t { all, none, inclusion, exclusion } matching = Matching::all;
  std::vector<StringMatcher> patterns;
  struct Buckets {
    StringMatcher match;         // of the histogram's name
    std::vector<double> bounds;  // ascending, all > 0
  };
  std::vector<Buckets> histogram_buckets;
};

struct RuntimeLayer {
  std::string name;
  std::map<std::string, std::string, std::less<>> values;  // dotted keys
};

struct Bootstrap {
  NodeInfo node;
  std::optional<Address> admin_address;

  struct Ads {
    std::string cluster;  // gRPC cluster, «xds-grpc»
    bool delta = true;    // false: state of the world
  };
  std::optional<Ads> ads;  // nothing: static configuration alone

  StatsConfig stats;
  std::string log_pattern;  // spdlog's; empty: the default. A JSON format is a pattern with %j in it
  std::uint64_t max_downstream_connections = UINT64_MAX;  // overload manager, or the deprecated runtime key

  std::vector<RuntimeLayer> runtime_layers;  // static ones in order; the last that has a key wins
  int regex_max_program_size = 32768;        // re2.max_program_size.error_level (Envoy's own default is 100)
  bool reject_path_with_fragment = true;     // envoy.reloadable_features.http_reject_path_with_fragment; else cut

  std::vector<std::string> warnings;  // what is accepted though nothing comes of it
  std::string serialized;             // the merged envoy.config.bootstrap.v3.Bootstrap, for config_dump

  const std::string* runtime(std::string_view key) const;
};

/// Reads and merges what the command line names.
Decoded<Bootstrap> load_bootstrap(const CommandLine& options);

/// Where the text came from decides nothing but the words of an error. Both texts may be JSON or YAML; either may be
/// empty, not both.
struct BootstrapText {
  std::string file_name, file, override_yaml;
};
Decoded<Bootstrap> parse_bootstrap(const BootstrapText& text, const CommandLine& options);

}  // namespace clew
