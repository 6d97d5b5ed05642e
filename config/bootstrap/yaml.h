// YAML as JSON text, so that the bootstrap has one parser behind it.
#pragma once

#include "config/xds/decode.h"

#include <string>
#include <string_view>

namespace clew {

/// Plain scalars become numbers, booleans and null as in YAML 1.2's core schema; quoted ones stay text. Anchors are
/// followed, within a bound. JSON is YAML. An error says line and column.
Decoded<bool> yaml_to_json(std::string_view yaml, std::string& json);

}  // namespace clew
