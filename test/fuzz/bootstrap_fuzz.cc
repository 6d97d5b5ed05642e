// A bootstrap of any bytes: refused with one printable sentence, or understood; and what was understood says the same
// again.
#include "config/bootstrap/bootstrap.h"
#include "config/bootstrap/command_line.h"
#include "config/xds/json.h"

#include "envoy/config/bootstrap/v3/bootstrap.pb.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace {

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "broken: %s\n", what);
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 64 * 1024) return 0;
  const std::string text(reinterpret_cast<const char*>(data), size);
  clew::CommandLine options;
  options.allow_unknown_static_fields = size % 2 == 0;
  const auto first = clew::parse_bootstrap({"fuzz", text, {}}, options);
  if (!first) {
    const std::string& problem = first.error().message;
    require(!problem.empty() && problem.size() < 2000, "a refusal is one sentence");
    require(std::none_of(problem.begin(), problem.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }),
            "a refusal can be printed");
    return 0;
  }
  require(!first->node.id.empty(), "a node has an id");
  // Written as JSON and read again, it is the same bootstrap.
  envoy::config::bootstrap::v3::Bootstrap message;
  require(message.ParseFromString(first->serialized), "it can be read for a dump");
  const auto second = clew::parse_bootstrap({"again", clew::to_json(message), {}}, options);
  if (!second) std::fprintf(stderr, "%s\n", second.error().message.c_str());
  require(second.has_value() && second->serialized == first->serialized, "a dump is the same bootstrap");
  require(second->log_pattern == first->log_pattern && second->stats.tags.size() == first->stats.tags.size(),
          "and means the same");
  return 0;
}
