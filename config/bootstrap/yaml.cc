#include "config/bootstrap/yaml.h"

#include "config/xds/scope.h"
#include "proxy/base/encoding.h"

#include <boost/regex.hpp>
#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

namespace clew {

namespace {

// Anchors let a small text describe a huge tree.
constexpr std::size_t max_json = 64 * 1024 * 1024;
constexpr int max_depth = 100;

struct Unusable {
  YAML::Mark mark;
  std::string what;
};

void append_string(std::string& json, std::string_view text) {
  json += '"';
  append_json_escaped(json, text);
  json += '"';
}

void append_scalar(std::string& json, const YAML::Node& node) {
  static const boost::regex number(R"([-+]?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?)");
  const std::string& text = node.Scalar();
  if (node.Tag() == "!") return append_string(json, text);  // quoted
  if (text == "true" || text == "True" || text == "TRUE") {
    json += "true";
  } else if (text == "false" || text == "False" || text == "FALSE") {
    json += "false";
  } else if (boost::regex_match(text, number)) {
    json += text.front() == '+' ? text.substr(1) : text;
  } else {
    append_string(json, text);
  }
}

void append(std::string& json, const YAML::Node& node, int depth) {
  if (depth > max_depth) throw Unusable{node.Mark(), fmt::format("is nested more than {} levels deep", max_depth)};
  if (json.size() > max_json) throw Unusable{node.Mark(), fmt::format("becomes larger than {} MiB", max_json >> 20)};
  switch (node.Type()) {
    case YAML::NodeType::Map: {
      char separator = '{';
      if (node.size() == 0) json += separator;
      for (const auto& entry : node) {
        json += separator;
        if (!entry.first.IsScalar()) throw Unusable{node.Mark(), "has a key that is no word"};
        append_string(json, entry.first.Scalar());
        json += ':';
        append(json, entry.second, depth + 1);
        separator = ',';
      }
      json += '}';
      break;
    }
    case YAML::NodeType::Sequence: {
      char separator = '[';
      if (node.size() == 0) json += separator;
      for (const auto& item : node) {
        json += separator;
        append(json, item, depth + 1);
        separator = ',';
      }
      json += ']';
      break;
    }
    case YAML::NodeType::Scalar: append_scalar(json, node); break;
    case YAML::NodeType::Null:
    case YAML::NodeType::Undefined: json += "null"; break;
  }
}

}  // namespace

Decoded<bool> yaml_to_json(std::string_view yaml, std::string& json) {
  const auto at = [](const YAML::Mark& mark, std::string_view what) {
    return DecodeError{fmt::format("line {}, column {}: {}", mark.line + 1, mark.column + 1, what)};
  };
  try {
    append(json, YAML::Load(std::string(yaml)), 0);
    return true;
  } catch (const Unusable& error) {
    return at(error.mark, error.what);
  } catch (const YAML::Exception& error) {
    return at(error.mark, printable(error.msg));
  }
}

}  // namespace clew
