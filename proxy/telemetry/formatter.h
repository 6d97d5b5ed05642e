// Evaluates formats (config/snapshot/format.h) for a stream: lines of access logs, header values of routes. Everything
// is appended to the caller's string; operators without a value print as `empty` in text and as null in JSON. Any
// thread.
#pragma once

#include "config/snapshot/format.h"
#include "proxy/base/clock.h"
#include "proxy/net/stream_info.h"

#include <string>
#include <string_view>

namespace clew {

struct ConnectionInfo;
class HeaderMap;
struct RequestHead;
struct ResponseHead;

/// What operators read. TCP has no heads; trailers may be absent.
struct FormatContext {
  const StreamInfo& info;
  const ConnectionInfo* connection = nullptr;
  TimePoint now{};  // DURATION of a stream that is not over
  WallTime wall{};  // EMIT_TIME
  const RequestHead* request = nullptr;
  const ResponseHead* response = nullptr;
  const HeaderMap* trailers = nullptr;
  std::string_view log_type = "NotSet";  // envoy.data.accesslog.v3.AccessLogType
};

/// Access logs print «-» for what is not there, header values nothing.
void append_text(std::string& out, const TextFormat& format, const FormatContext& context,
                 std::string_view empty = "-");

/// One object and a line feed. A lone operator keeps its type; a format of several is a string.
void append_json(std::string& out, const JsonFormat& format, const FormatContext& context);

}  // namespace clew
